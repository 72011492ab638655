package document

import "bytes"

// Merge returns what patch makes of target, which may be any values (RFC 7396). A nil patch changes nothing.
func Merge(target, patch []byte) []byte {
	if patch == nil {
		return target
	}
	return appendMerged(make([]byte, 0, len(target)+len(patch)), target, patch)
}

func appendMerged(buf, target, patch []byte) []byte {
	if !isObject(patch) {
		return append(buf, patch...)
	}
	o := begin(buf)
	for p := pairsOf(target, patch); p.next(); {
		switch {
		case p.b == nil:
			o.member(p.name, p.a)
		case !absent(p.b):
			o.key(p.name)
			o.buf = appendMerged(o.buf, p.a, p.b)
		}
	}
	return o.end()
}

// Diff returns the merge patch that leads from was to now, both objects or nil for none: nil when they are the same.
// Members that are null count as absent, so that was and now may be the two halves of an earlier Diff. Objects are
// compared member by member, all else is taken whole; an object that differs and lies on the way to a path of whole is
// taken whole, too: all members that it has are in the patch beside the nulls of those that it had.
func Diff(was, now []byte, whole *Hidden) []byte {
	if bytes.Equal(was, now) {
		return nil
	}
	patch, changed := appendDiff(make([]byte, 0, len(now)), was, now, whole.root(), false)
	if !changed {
		return nil
	}
	return patch
}

// appendDiff appends the patch from one object to another, all of it if all, and says whether they differ; if not, only
// buf's capacity may have changed.
func appendDiff(buf, was, now []byte, at *node, all bool) ([]byte, bool) {
	o, changed := begin(buf), false
	for p := pairsOf(was, now); p.next(); {
		before, o0 := len(o.buf), o.empty
		differs := false
		switch {
		case absent(p.a) && absent(p.b):
		case absent(p.b):
			o.key(p.name)
			o.buf, differs = append(o.buf, "null"...), true
		case isObject(p.a) && isObject(p.b):
			if !all && bytes.Equal(p.a, p.b) {
				break
			}
			child := at.child(p.name)
			inside := all || child.onTheWay()
			o.key(p.name)
			if o.buf, differs = appendDiff(o.buf, p.a, p.b, child, inside); !differs {
				o.buf, o.empty = o.buf[:before], o0
				if all {
					o.key(p.name)
					o.buf = appendMerged(o.buf, nil, p.b)
				}
			}
		default:
			if differs = !sameValue(p.a, p.b); differs || all {
				o.key(p.name)
				o.buf = appendMerged(o.buf, nil, p.b)
			}
		}
		changed = changed || differs
	}
	if !changed {
		return o.buf[:len(buf)], false
	}
	return o.end(), true
}

// sameValue says whether two values are the same, one of which is no object.
func sameValue(a, b []byte) bool { return !absent(a) && bytes.Equal(a, b) }

// same says whether two values are the same when members that are null count as absent.
func same(a, b []byte) bool {
	switch {
	case bytes.Equal(a, b), absent(a) && absent(b):
		return true
	case !isObject(a) || !isObject(b):
		return false
	}
	for p := pairsOf(a, b); p.next(); {
		if !same(p.a, p.b) {
			return false
		}
	}
	return true
}
