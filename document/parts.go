package document

import "github.com/roxyhub/roxy"

// Parts tells which of the separately visible parts of a field differ: those that a nested path, one of two or more
// names, hides, and what none does. Nil: every field is one part. It never changes and is safe for concurrent use.
type Parts struct {
	all   *Hidden
	paths []nested
}

// nested is a path of two or more names.
type nested struct {
	path  roxy.FieldPath
	field string  // its first name
	other *Hidden // all nested paths but this one
}

// NewParts returns the parts that paths make, nil when none of them is nested.
func NewParts(paths ...roxy.FieldPath) *Parts {
	var all []roxy.FieldPath
	seen := make(map[roxy.FieldPath]bool)
	for _, path := range paths {
		if len(path.Names()) >= 2 && !seen[path] {
			seen[path] = true
			all = append(all, path)
		}
	}
	if len(all) == 0 {
		return nil
	}
	p := &Parts{all: NewHidden(all...)}
	for i, path := range all {
		others := make([]roxy.FieldPath, 0, len(all)-1)
		others = append(append(others, all[:i]...), all[i+1:]...)
		p.paths = append(p.paths, nested{path, path.Names()[0], NewHidden(others...)})
	}
	return p
}

// Whole returns what to give [Diff] so that both halves hold what any view needs that hides some of the paths.
func (p *Parts) Whole() *Hidden {
	if p == nil {
		return nil
	}
	return p.all
}

// Changed returns the parts of a top-level field that differ between its values was and now, nil for absent, as they are
// in documents or in both halves of a [Diff] with [Parts.Whole]: nil when they are the same, and else at least one. The
// zero path is the part that no nested path hides; a nested path is among them when it is the field's and somebody from
// whom all others are hidden sees a difference. So a view that sees a difference misses one of the parts in its paths.
func (p *Parts) Changed(field string, was, now []byte) []roxy.FieldPath {
	if same(was, now) {
		return nil
	}
	if p == nil {
		return []roxy.FieldPath{{}}
	}
	var parts, of []roxy.FieldPath
	rest := differs(p.all, field, was, now)
	if rest {
		parts = append(parts, roxy.FieldPath{})
	}
	for _, n := range p.paths {
		if n.field != field && n.field != "*" {
			continue
		}
		of = append(of, n.path)
		if differs(n.other, field, was, now) {
			parts = append(parts, n.path)
		}
	}
	// What two paths hide, and an object that is seen as long as neither is hidden, shows with no path alone.
	if !rest && len(parts) < len(of) && differs(NewHidden(parts...), field, was, now) {
		return of
	}
	return parts
}

func differs(h *Hidden, field string, was, now []byte) bool {
	return !same(h.RedactField(field, was), h.RedactField(field, now))
}
