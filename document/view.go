package document

import "github.com/go-json-experiment/json/jsontext"

// Redact returns what is left of doc in the view, doc itself when that is all. An object on the way to a hidden path that
// shows no members is not shown, even when it has none: it would tell whether something is hidden in it. Elements of
// arrays stay in place, {} when nothing is left of them, and so does doc. Members that are null, which only halves of a
// [Diff] have outside of arrays, do not count as shown.
func (h *Hidden) Redact(doc []byte) []byte {
	switch {
	case h == nil || !isObject(doc) && !isArray(doc) || whole(doc, h.top, false):
		return doc
	case isArray(doc): // of published events
		return appendArray(make([]byte, 0, len(doc)), doc, h.top)
	}
	buf, _ := appendObject(make([]byte, 0, len(doc)), doc, h.top, false)
	return buf
}

// RedactField returns what is left in the view of the top-level field name, whose value is value: nil for nothing.
func (h *Hidden) RedactField(name string, value []byte) []byte {
	if h == nil || value == nil {
		return value
	}
	var room [64]byte
	quoted, err := jsontext.AppendQuote(room[:0], name)
	if err != nil { // no UTF-8, so not the name of a field
		return nil
	}
	at := h.top.child(quoted)
	switch {
	case at == nil:
		return value
	case at.hidden:
		return nil
	case !isObject(value) && !isArray(value):
		return value
	}
	buf, shown := appendVisible(make([]byte, 0, len(value)), value, at, false)
	if !shown {
		return nil
	}
	return buf
}

// ViewDelta returns the merge patch by which the view changes, given both halves of a change: undo, the [Diff] from the
// new to the old state, and patch, the one from the old to the new, both with a whole that has the nested paths of h
// ([Parts.Whole]). It is {} when the view stays the same.
func (h *Hidden) ViewDelta(undo, patch []byte) []byte {
	if delta := Diff(h.Redact(undo), h.Redact(patch), nil); delta != nil {
		return delta
	}
	return []byte("{}")
}

// whole says whether all of value, which is on the way, is visible; in arrays null is a value.
func whole(value []byte, at *node, inArray bool) bool {
	switch {
	case isObject(value):
		for m := membersOf(value); m.next(); {
			child := at.child(m.name)
			switch {
			case child == nil:
			case child.hidden, isObject(m.value) && !shows(m.value, child, inArray), !whole(m.value, child, inArray):
				return false
			}
		}
	case isArray(value):
		for e := elementsOf(value); e.next(); {
			if !whole(e.value, at, true) {
				return false
			}
		}
	}
	return true
}

// shows says whether an object on the way shows members.
func shows(value []byte, at *node, inArray bool) bool {
	for m := membersOf(value); m.next(); {
		child := at.child(m.name)
		switch {
		case child == nil, !child.hidden && !isObject(m.value):
			if inArray || !absent(m.value) {
				return true
			}
		case !child.hidden && shows(m.value, child, inArray):
			return true
		}
	}
	return false
}

// appendVisible appends what is left of a value on the way and says whether it is shown; if not, nothing is appended.
func appendVisible(buf, value []byte, at *node, inArray bool) ([]byte, bool) {
	switch {
	case isObject(value):
		before := len(buf)
		buf, shown := appendObject(buf, value, at, inArray)
		if !shown {
			buf = buf[:before]
		}
		return buf, shown
	case isArray(value):
		return appendArray(buf, value, at), true
	}
	return append(buf, value...), true
}

// appendObject appends what is left of an object on the way, at least {}, and says whether it shows members.
func appendObject(buf, value []byte, at *node, inArray bool) ([]byte, bool) {
	o, shown := begin(buf), false
	for m := membersOf(value); m.next(); {
		child := at.child(m.name)
		if child == nil {
			o.member(m.name, m.value)
			shown = shown || inArray || !absent(m.value)
			continue
		}
		if child.hidden {
			continue
		}
		before, empty := len(o.buf), o.empty
		o.key(m.name)
		var visible bool
		if o.buf, visible = appendVisible(o.buf, m.value, child, inArray); !visible {
			o.buf, o.empty = o.buf[:before], empty
			continue
		}
		shown = shown || inArray || !absent(m.value)
	}
	return o.end(), shown
}

func appendArray(buf, array []byte, at *node) []byte {
	buf = append(buf, '[')
	for e, first := elementsOf(array), true; e.next(); first = false {
		if !first {
			buf = append(buf, ',')
		}
		switch {
		case isObject(e.value):
			buf, _ = appendObject(buf, e.value, at, true)
		case isArray(e.value):
			buf = appendArray(buf, e.value, at)
		default:
			buf = append(buf, e.value...)
		}
	}
	return append(buf, ']')
}
