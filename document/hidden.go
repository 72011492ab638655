package document

import (
	"github.com/go-json-experiment/json/jsontext"

	"github.com/roxyhub/roxy"
)

// Hidden is what a view leaves out, compiled. Nil hides nothing. It never changes and is safe for concurrent use.
type Hidden struct {
	paths map[roxy.FieldPath]bool
	top   *node
}

// NewHidden returns what is at paths, nil for none. Its size may grow with the product of the names that stand beside *
// at each depth; paths are an operator's, not a client's.
func NewHidden(paths ...roxy.FieldPath) *Hidden {
	h := &Hidden{paths: make(map[roxy.FieldPath]bool)}
	var tails [][]string
	for _, path := range paths {
		if names := path.Names(); len(names) > 0 && !h.paths[path] {
			h.paths[path] = true
			tails = append(tails, names)
		}
	}
	if len(tails) == 0 {
		return nil
	}
	h.top = compile(tails)
	return h
}

// Has says whether exactly this path is among those of h; customer.phone is not among *.phone.
func (h *Hidden) Has(path roxy.FieldPath) bool { return h != nil && h.paths[path] }

// root returns the node of whole documents, nil when nothing is hidden.
func (h *Hidden) root() *node {
	if h == nil {
		return nil
	}
	return h.top
}

// node is a place in documents. What * leads to is in the nodes of the names beside it, too, so that a walk has one node
// at each place. Nil is a place with nothing hidden at or below it.
type node struct {
	hidden bool             // a path ends here; then the fields below are nil
	named  map[string]*node // by canonical name, in quotes
	others *node            // of all other names
}

// compile returns the node of the place where paths with these tails go on, nil for none.
func compile(tails [][]string) *node {
	if len(tails) == 0 {
		return nil
	}
	names := make(map[string]bool)
	for _, tail := range tails {
		if len(tail) == 0 {
			return &node{hidden: true}
		}
		if tail[0] != "*" {
			names[tail[0]] = true
		}
	}
	n := &node{named: make(map[string]*node, len(names)), others: compile(after("*", tails))}
	for name := range names {
		quoted, err := jsontext.AppendQuote(nil, name)
		if err != nil { // no UTF-8, so no member has the name
			continue
		}
		n.named[string(quoted)] = compile(after(name, tails))
	}
	return n
}

// after returns what is left of the tails that begin with name or *.
func after(name string, tails [][]string) [][]string {
	var rest [][]string
	for _, tail := range tails {
		if tail[0] == name || tail[0] == "*" {
			rest = append(rest, tail[1:])
		}
	}
	return rest
}

// child returns the node of a member, its name in quotes.
func (n *node) child(name []byte) *node {
	if n == nil {
		return nil
	}
	if c, ok := n.named[string(name)]; ok {
		return c
	}
	return n.others
}

// onTheWay says whether the place is on the way to what is hidden, a proper prefix of a path.
func (n *node) onTheWay() bool { return n != nil && !n.hidden }
