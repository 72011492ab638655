package document

import "bytes"

// Merge returns target as patch changes it (RFC 7396 §2). Both may be any values.
func Merge(target, patch []byte) []byte {
	return appendMerge(make([]byte, 0, len(target)+len(patch)), target, patch)
}

func appendMerge(dst, target, patch []byte) []byte {
	if !isObject(patch) {
		return append(dst, patch...)
	}
	w := objectWriter{dst: append(dst, '{')}
	for p := range pairs(target, patch) {
		switch {
		case p.b == nil:
			w.name(p.name)
			w.dst = append(w.dst, p.a...)
		case isNull(p.b):
		default:
			w.name(p.name)
			w.dst = appendMerge(w.dst, p.a, p.b)
		}
	}
	return append(w.dst, '}')
}

// Diff returns the merge patch that leads from was to now, both objects, or nil for none; nil when they are the same.
// Members that are null count as absent: was and now may be the two halves of an earlier Diff. Objects are compared
// member by member, but for those on the way to a path of whole, which are taken whole as arrays and scalars are.
func Diff(was, now []byte, whole *Hidden) []byte {
	patch, differ := appendDiff(nil, was, now, whole.root())
	if !differ {
		return nil
	}
	return patch
}

func appendDiff(dst, was, now []byte, whole *node) (_ []byte, differ bool) {
	w := objectWriter{dst: append(dst, '{')}
	for p := range pairs(was, now) {
		if absent(p.a) && absent(p.b) || bytes.Equal(p.a, p.b) {
			continue
		}
		below := whole.below(p.name)
		if isObject(p.a) && isObject(p.b) && !below.leads() {
			mark, begun := len(w.dst), w.begun
			w.name(p.name)
			var inner bool
			if w.dst, inner = appendDiff(w.dst, p.a, p.b, below); !inner {
				w.dst, w.begun = w.dst[:mark], begun
			}
			continue
		}
		w.name(p.name)
		if absent(p.b) {
			w.dst = append(w.dst, "null"...)
		} else {
			w.dst = appendWithoutNulls(w.dst, p.b)
		}
	}
	return append(w.dst, '}'), w.begun
}

// appendWithoutNulls appends what a patch sets: a new object may come as half of a Diff, with nulls in it.
func appendWithoutNulls(dst, v []byte) []byte {
	if !isObject(v) {
		return append(dst, v...)
	}
	return appendMerge(dst, nil, v)
}
