package document

import (
	"bytes"
	"strings"
)

// Refuses says whether somebody with this view may not send patch, a merge patch or all of a document, and at which
// place. It looks at the paths alone, never at what is stored: refused is a member at a hidden path, null included, and
// on the way to one whatever is neither an object nor null, as it could overwrite what is hidden.
func (h *Hidden) Refuses(patch []byte) (at string, refused bool) {
	if h == nil {
		return "", false
	}
	return refuses(patch, h.top, nil)
}

func refuses(patch []byte, at *node, place *place) (string, bool) {
	switch {
	case absent(patch):
		return "", false
	case !isObject(patch):
		return place.String(), true
	}
	for m := membersOf(patch); m.next(); {
		child := at.child(m.name)
		if child == nil {
			continue
		}
		here := place.member(m.name)
		if child.hidden {
			return here.String(), true
		}
		if at, refused := refuses(m.value, child, here); refused {
			return at, true
		}
	}
	return "", false
}

// Restore puts what h hides of full back into view, the new state as its author sees and wants it, and returns the new
// full document: one whose view is that of view. What the author cannot see stays as it is, also when the author removed
// the object around it. On the way to hidden paths the author may change objects, remove scalars and put objects in
// their place, but change no arrays and write no scalars: then ok is false and at names the place. Whether ok is true
// depends on what the author can see.
func (h *Hidden) Restore(view, full []byte) (doc []byte, at string, ok bool) {
	if h == nil {
		return view, "", true
	}
	doc, wrong, _ := appendRestored(make([]byte, 0, len(view)+len(full)), view, full, h.top, nil)
	if wrong != nil {
		return nil, wrong.String(), false
	}
	return doc, "", true
}

// appendRestored appends the new object on the way, at least {}, and says whether it has members; view and full are
// objects or absent. A place that is not nil is one that the author may not change so.
func appendRestored(buf, view, full []byte, at *node, around *place) (_ []byte, wrong *place, some bool) {
	o := begin(buf)
	for p := pairsOf(view, full); p.next(); {
		want, have := p.a, p.b
		child := at.child(p.name)
		switch {
		case child == nil:
			if want != nil {
				o.member(p.name, want)
			}
		case child.hidden:
			if have != nil {
				o.member(p.name, have)
			}
		case isArray(want) || isArray(have):
			if !sameArray(want, have, child) {
				return o.buf, around.member(p.name), false
			}
			o.member(p.name, have)
		case isObject(want), absent(want):
			if absent(want) && !isObject(have) {
				break // what was there is seen and unwanted
			}
			before, empty := len(o.buf), o.empty
			o.key(p.name)
			var members bool
			if o.buf, wrong, members = appendRestored(o.buf, want, have, child, around.member(p.name)); wrong != nil {
				return o.buf, wrong, false
			}
			// An empty object cannot be seen here: one that was there stays, one that is wanted does not come.
			if !members && !bytes.Equal(have, []byte("{}")) {
				o.buf, o.empty = o.buf[:before], empty
			}
		case bytes.Equal(want, have):
			o.member(p.name, have)
		default:
			return o.buf, around.member(p.name), false
		}
	}
	return o.end(), nil, !o.empty
}

// sameArray says whether both are arrays that the view shows as the same.
func sameArray(want, have []byte, at *node) bool {
	if !isArray(want) || !isArray(have) {
		return false
	}
	return bytes.Equal(want, have) || bytes.Equal(appendArray(nil, want, at), appendArray(nil, have, at))
}

// place is where in a document a walk is; nil is the document.
type place struct {
	around *place
	name   []byte // in quotes
}

func (p *place) member(name []byte) *place { return &place{p, name} }

// String returns the names from the outside in with dots between.
func (p *place) String() string {
	switch {
	case p == nil:
		return ""
	case p.around == nil:
		return unquote(p.name)
	}
	return strings.Join([]string{p.around.String(), unquote(p.name)}, ".")
}
