package document

import (
	"bytes"
	"slices"

	"github.com/roxyhub/roxy"
)

// Hidden is what a view leaves out. It is immutable; nil hides nothing.
//
// The rule that keeps what is hidden from being inferred: an object on the way to a hidden path that shows no members is
// not shown at all, even when it is empty, unless it is the whole document or an element of an array. So what is shown
// depends on nothing that is not.
type Hidden struct {
	top   *node
	paths []roxy.FieldPath
}

// node is one name on the way to hidden paths, or the end of one.
type node struct {
	end   bool
	names []branch // few: a scan is as quick as a map
	any   *node    // *
}

type branch struct {
	name []byte // quoted
	node *node
}

// NewHidden returns what hides paths; nil for none.
func NewHidden(paths ...roxy.FieldPath) *Hidden {
	if len(paths) == 0 {
		return nil
	}
	h := &Hidden{top: &node{}, paths: slices.Clone(paths)}
	for _, p := range paths {
		n := h.top
		for _, name := range p.Names() {
			n = n.child(name)
		}
		n.end = true
	}
	return h
}

// Has reports whether exactly this path is one of h's.
func (h *Hidden) Has(path roxy.FieldPath) bool { return h != nil && slices.Contains(h.paths, path) }

func (h *Hidden) root() *node {
	if h == nil {
		return nil
	}
	return h.top
}

func (n *node) child(name string) *node {
	if name == "*" {
		if n.any == nil {
			n.any = &node{}
		}
		return n.any
	}
	quoted := quote(name)
	for _, b := range n.names {
		if bytes.Equal(b.name, quoted) {
			return b.node
		}
	}
	b := branch{quoted, &node{}}
	n.names = append(n.names, b)
	return b.node
}

// below returns what lies below a name: nil for nothing. A name that * stands for as well has both.
func (n *node) below(name []byte) *node {
	if n == nil {
		return nil
	}
	named := n.any
	for _, b := range n.names {
		if bytes.Equal(b.name, name) {
			named = join(b.node, n.any)
			break
		}
	}
	return named
}

// leads reports whether there is a hidden path farther in.
func (n *node) leads() bool { return n != nil && (len(n.names) > 0 || n.any != nil) }

func (n *node) ends() bool { return n != nil && n.end }

// join returns a node with the paths of both.
func join(a, b *node) *node {
	if a == nil || b == nil || a == b {
		if a == nil {
			return b
		}
		return a
	}
	out := &node{end: a.end || b.end, any: join(a.any, b.any)}
	out.names = slices.Clone(a.names)
	for _, of := range b.names {
		if i := slices.IndexFunc(out.names, func(o branch) bool { return bytes.Equal(o.name, of.name) }); i >= 0 {
			out.names[i].node = join(out.names[i].node, of.node)
		} else {
			out.names = append(out.names, of)
		}
	}
	return out
}

// Redact returns what is left of doc in the view; doc itself when that is all of it.
func (h *Hidden) Redact(doc []byte) []byte {
	if h == nil || doc == nil {
		return doc
	}
	out := appendRedacted(make([]byte, 0, len(doc)), doc, h.top)
	if len(out) == len(doc) {
		return doc
	}
	return out
}

// RedactField returns what is left of the value of a top-level field; nil when it is not shown.
func (h *Hidden) RedactField(name string, value []byte) []byte {
	if h == nil || value == nil {
		return value
	}
	out, shown := appendShown(nil, value, h.top.below(quote(name)))
	if !shown {
		return nil
	}
	return out
}

// appendRedacted appends v, which is shown itself, without what n hides of it.
func appendRedacted(dst, v []byte, n *node) []byte {
	switch {
	case !n.leads():
		return append(dst, v...)
	case isObject(v):
		w := objectWriter{dst: append(dst, '{')}
		for m := range members(v) {
			below := n.below(m.name)
			if below == nil {
				w.name(m.name)
				w.dst = append(w.dst, m.value...)
				continue
			}
			mark, begun := len(w.dst), w.begun
			w.name(m.name)
			var shown bool
			if w.dst, shown = appendShown(w.dst, m.value, below); !shown {
				w.dst, w.begun = w.dst[:mark], begun
			}
		}
		return append(w.dst, '}')
	case isArray(v):
		dst = append(dst, '[')
		first := true
		for e := range elements(v) {
			if !first {
				dst = append(dst, ',')
			}
			first = false
			dst = appendRedacted(dst, e, n)
		}
		return append(dst, ']')
	}
	return append(dst, v...)
}

// appendShown appends the value of a member, unless it is not shown.
func appendShown(dst, v []byte, n *node) (_ []byte, shown bool) {
	if n.ends() {
		return dst, false
	}
	mark := len(dst)
	dst = appendRedacted(dst, v, n)
	if n.leads() && isObject(v) && len(dst) == mark+2 { // {}
		return dst[:mark], false
	}
	return dst, true
}

// ViewDelta returns the merge patch by which the view changes, given both halves of a Diff with Parts.Whole: patch, and
// undo, which leads back. {} is no change.
func (h *Hidden) ViewDelta(undo, patch []byte) []byte {
	if patch == nil {
		return []byte("{}")
	}
	// Who sees everything gets no half as it is, either: it may hold objects whole, and a merge patch that does leaves
	// what they no longer have.
	if delta := Diff(h.redactHalf(undo), h.redactHalf(patch), nil); delta != nil {
		return delta
	}
	return []byte("{}")
}

// redactHalf redacts one half of a Diff, in which a member may be null for absent. Objects that it holds whole follow
// the rule; those of which it holds members alone are on no way to a hidden path.
func (h *Hidden) redactHalf(half []byte) []byte {
	if half == nil || h == nil {
		return half
	}
	return appendRedacted(make([]byte, 0, len(half)), half, h.top)
}
