package document

import (
	"bytes"
	"slices"
)

// Refuses reports whether somebody with this view may not send patch, a merge patch or the data of a put, whatever is
// stored: a member at a hidden path, or another value than an object or null where one may lie below. at is the place, as
// customer.phone.
func (h *Hidden) Refuses(patch []byte) (at string, refused bool) {
	if h == nil {
		return "", false
	}
	return refuses(patch, h.top)
}

func refuses(patch []byte, n *node) (at string, refused bool) {
	for m := range members(patch) {
		below := n.below(m.name)
		switch {
		case below == nil:
			continue
		case below.ends(), below.leads() && !isObject(m.value) && !isNull(m.value):
			return unquote(m.name), true
		}
		if inner, refused := refuses(m.value, below); refused {
			return unquote(m.name) + "." + inner, true
		}
	}
	return "", false
}

// Restore puts what h hides of full back into view, the new state as its author sees it, and returns the new document.
// The author can neither change nor remove what is hidden: not what lies in an object that the author removed, and not
// an array, or what is none in its place, where parts may be hidden; then ok is false, and at is the place. What decides
// is what the author sees.
func (h *Hidden) Restore(view, full []byte) (doc []byte, at string, ok bool) {
	if h == nil {
		return view, "", true
	}
	doc, place := appendRestored(make([]byte, 0, len(full)+len(view)), view, full, h.top)
	if place != nil {
		slices.Reverse(place)
		return nil, string(bytes.Join(place, []byte("."))), false
	}
	return doc, "", true
}

// appendRestored appends the object view with what n hides of the object full. place names, from the inside out, what cannot be changed; nil
// when all can.
func appendRestored(dst, view, full []byte, n *node) (_ []byte, place [][]byte) {
	w := objectWriter{dst: append(dst, '{')}
	for p := range pairs(view, full) {
		wanted, had, below := p.a, p.b, n.below(p.name)
		switch {
		case below.ends(): // Refuses sees to it that nothing is wanted
			if had != nil {
				w.name(p.name)
				w.dst = append(w.dst, had...)
			}
		case !below.leads():
			if wanted != nil {
				w.name(p.name)
				w.dst = append(w.dst, wanted...)
			}
		case isArray(had) || isArray(wanted):
			seen, _ := appendShown(nil, orNull(had), below)
			if had == nil || wanted == nil || !bytes.Equal(seen, wanted) {
				return nil, [][]byte{[]byte(unquote(p.name))}
			}
			w.name(p.name)
			w.dst = append(w.dst, had...)
		case wanted != nil && !isObject(wanted):
			if !bytes.Equal(wanted, had) {
				return nil, [][]byte{[]byte(unquote(p.name))}
			}
			w.name(p.name)
			w.dst = append(w.dst, had...)
		default: // an object, or nothing, is wanted; what was there is an object, a scalar or nothing
			mark, begun := len(w.dst), w.begun
			w.name(p.name)
			start := len(w.dst)
			var inner [][]byte
			if w.dst, inner = appendRestored(w.dst, wanted, had, below); inner != nil {
				return nil, append(inner, []byte(unquote(p.name)))
			}
			if len(w.dst) == start+2 { // {}: it is not shown, and nothing hidden is in it
				w.dst, w.begun = w.dst[:mark], begun
			}
		}
	}
	return append(w.dst, '}'), nil
}

func orNull(v []byte) []byte {
	if v == nil {
		return []byte("null")
	}
	return v
}
