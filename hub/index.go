package hub

import (
	"slices"
	"strings"

	"github.com/roxyhub/roxy"
)

// topicIndex finds the classes whose patterns match a topic by walking the topic's segments: its cost depends on the
// patterns that can match, never on how many there are.
type topicIndex struct{ root indexNode }

type indexNode struct {
	segments map[string]*indexNode
	any      *indexNode // *
	here     []*class   // patterns that end at this node
	below    []*class   // patterns that go on with a last **
}

func (x *topicIndex) insert(p roxy.Pattern, c *class) {
	n := &x.root
	for seg := range strings.SplitSeq(p.String(), "/") {
		switch seg {
		case "**":
			n.below = append(n.below, c)
			return
		case "*":
			if n.any == nil {
				n.any = &indexNode{}
			}
			n = n.any
		default:
			child := n.segments[seg]
			if child == nil {
				if n.segments == nil {
					n.segments = make(map[string]*indexNode)
				}
				child = &indexNode{}
				n.segments[seg] = child
			}
			n = child
		}
	}
	n.here = append(n.here, c)
}

func (x *topicIndex) remove(p roxy.Pattern, c *class) { x.root.remove(p.String(), c) }

// remove reports whether nothing is left at n.
func (n *indexNode) remove(path string, c *class) bool {
	seg, rest, more := strings.Cut(path, "/")
	switch {
	case path == "":
		n.here = without(n.here, c)
	case seg == "**":
		n.below = without(n.below, c)
	case seg == "*":
		if n.any != nil && n.any.remove(tail(rest, more), c) {
			n.any = nil
		}
	default:
		if child := n.segments[seg]; child != nil && child.remove(tail(rest, more), c) {
			delete(n.segments, seg)
		}
	}
	return len(n.segments) == 0 && n.any == nil && len(n.here) == 0 && len(n.below) == 0
}

func tail(rest string, more bool) string {
	if !more {
		return ""
	}
	return rest
}

func without(classes []*class, c *class) []*class {
	if i := slices.Index(classes, c); i >= 0 {
		return slices.Delete(classes, i, i+1)
	}
	return classes
}

// match calls found for each class with a pattern that matches t; more than once for a class with several.
func (x *topicIndex) match(t roxy.Topic, found func(*class)) {
	n := &x.root
	if t.Reserved() { // only patterns that spell roxy out reach these topics
		_, rest, _ := strings.Cut(t.String(), "/")
		if n = n.segments["roxy"]; n != nil {
			n.match(rest, found)
		}
		return
	}
	n.match(t.String(), found)
}

func (n *indexNode) match(path string, found func(*class)) {
	for _, c := range n.below {
		found(c)
	}
	if path == "" {
		for _, c := range n.here {
			found(c)
		}
		return
	}
	seg, rest, _ := strings.Cut(path, "/")
	if child := n.segments[seg]; child != nil {
		child.match(rest, found)
	}
	if n.any != nil {
		n.any.match(rest, found)
	}
}
