package document

import (
	"bytes"
	"iter"

	"github.com/go-json-experiment/json/jsontext"
)

// member is one member of an object; name has its quotes.
type member struct{ name, value []byte }

// members yields the members of an object that is valid JSON without white space; none of anything else, nil included.
func members(v []byte) iter.Seq[member] {
	return func(yield func(member) bool) {
		if !isObject(v) {
			return
		}
		for i := 1; v[i] != '}'; {
			if v[i] == ',' {
				i++
			}
			nameEnd := skipString(v, i)
			end := skip(v, nameEnd+1)
			if !yield(member{v[i:nameEnd], v[nameEnd+1 : end : end]}) {
				return
			}
			i = end
		}
	}
}

// elements yields the elements of an array.
func elements(v []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		if !isArray(v) {
			return
		}
		for i := 1; v[i] != ']'; {
			if v[i] == ',' {
				i++
			}
			end := skip(v, i)
			if !yield(v[i:end:end]) {
				return
			}
			i = end
		}
	}
}

// skip returns where the value that begins at i ends.
func skip(v []byte, i int) int {
	switch v[i] {
	case '"':
		return skipString(v, i)
	case '{', '[':
		depth := 0
		for ; ; i++ {
			switch v[i] {
			case '"':
				i = skipString(v, i) - 1
			case '{', '[':
				depth++
			case '}', ']':
				if depth--; depth == 0 {
					return i + 1
				}
			}
		}
	}
	for i < len(v) && v[i] != ',' && v[i] != '}' && v[i] != ']' {
		i++
	}
	return i
}

// skipString returns where the string that begins at i ends.
func skipString(v []byte, i int) int {
	for i++; ; {
		n := bytes.IndexByte(v[i:], '"')
		end := i + n
		if v[end-1] != '\\' {
			return end + 1
		}
		slashes := 1
		for v[end-1-slashes] == '\\' {
			slashes++
		}
		if slashes%2 == 0 {
			return end + 1
		}
		i = end + 1
	}
}

func isObject(v []byte) bool { return len(v) > 0 && v[0] == '{' }

func isArray(v []byte) bool { return len(v) > 0 && v[0] == '[' }

func isNull(v []byte) bool { return len(v) == 4 && v[0] == 'n' }

// absent reports whether v is nothing, as in an entity null is.
func absent(v []byte) bool { return v == nil || isNull(v) }

// get returns the value of the member with a quoted name.
func get(doc, name []byte) []byte {
	for m := range members(doc) {
		if bytes.Equal(m.name, name) {
			return m.value
		}
	}
	return nil
}

// pair is the members of one name in two objects; a nil value is none.
type pair struct{ name, a, b []byte }

// pairs yields the names of two objects, in order, each once.
func pairs(a, b []byte) iter.Seq[pair] {
	return func(yield func(pair) bool) {
		next, stop := iter.Pull(members(b))
		defer stop()
		right, more := next()
		for left := range members(a) {
			for more && bytes.Compare(right.name, left.name) < 0 {
				if !yield(pair{right.name, nil, right.value}) {
					return
				}
				right, more = next()
			}
			p := pair{left.name, left.value, nil}
			if more && bytes.Equal(right.name, left.name) {
				p.b = right.value
				right, more = next()
			}
			if !yield(p) {
				return
			}
		}
		for more {
			if !yield(pair{right.name, nil, right.value}) {
				return
			}
			right, more = next()
		}
	}
}

// objectWriter writes the members of an object.
type objectWriter struct {
	dst   []byte
	begun bool
}

// name writes a quoted name; its value follows.
func (w *objectWriter) name(quoted []byte) {
	if w.begun {
		w.dst = append(w.dst, ',')
	}
	w.begun = true
	w.dst = append(append(w.dst, quoted...), ':')
}

// quote returns the canonical spelling of a name.
func quote(name string) []byte {
	quoted, err := jsontext.AppendQuote(make([]byte, 0, len(name)+2), name)
	if err != nil {
		return []byte(`"\ufffd"`) // no name that is not UTF-8 is in any document
	}
	return quoted
}

func unquote(quoted []byte) string {
	if bytes.IndexByte(quoted, '\\') < 0 {
		return string(quoted[1 : len(quoted)-1])
	}
	name, err := jsontext.AppendUnquote(nil, quoted)
	if err != nil {
		panic("BUG: a name of a canonical document does not unquote")
	}
	return string(name)
}
