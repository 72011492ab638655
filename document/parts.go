package document

import (
	"bytes"

	"github.com/roxyhub/roxy"
)

// Parts tells which parts of a field, that some see and others do not, differ between two values. It is immutable; for
// nil every field is one part.
type Parts struct {
	nested []roxy.FieldPath
	all    *Hidden   // all nested paths
	others []*Hidden // for each nested path, all but it
}

// NewParts returns the parts into which paths cut fields; nil when none of them is nested.
func NewParts(paths ...roxy.FieldPath) *Parts {
	var nested []roxy.FieldPath
	for _, p := range paths {
		if len(p.Names()) > 1 {
			nested = append(nested, p)
		}
	}
	if nested == nil {
		return nil
	}
	p := &Parts{nested: nested, all: NewHidden(nested...)}
	for i := range nested {
		var others []roxy.FieldPath
		for j, other := range nested {
			if j != i && other != nested[i] {
				others = append(others, other)
			}
		}
		p.others = append(p.others, NewHidden(others...))
	}
	return p
}

// Whole returns what Diff has to take whole so that its halves tell every view what changed.
func (p *Parts) Whole() *Hidden {
	if p == nil {
		return nil
	}
	return p.all
}

// Changed returns the parts of a top-level field that differ between was and now, nil values being absence: the zero path
// for what no nested path hides, and each nested path below which something does. It is nil when nothing differs.
func (p *Parts) Changed(field string, was, now []byte) []roxy.FieldPath {
	if bytes.Equal(was, now) && (was == nil) == (now == nil) {
		return nil
	}
	rest := []roxy.FieldPath{{}}
	if p == nil || p.all.top.below(quote(field)) == nil {
		return rest
	}
	differ := func(h *Hidden) bool { return !bytes.Equal(h.RedactField(field, was), h.RedactField(field, now)) }
	if !differ(p.all) {
		rest = nil
	}
	for i, path := range p.nested {
		if first := path.Names()[0]; (first == field || first == "*") && differ(p.others[i]) {
			rest = append(rest, path)
		}
	}
	if rest == nil { // a difference that every view hides, such as between {} and nothing, is one all the same
		rest = []roxy.FieldPath{{}}
	}
	return rest
}
