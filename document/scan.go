package document

import (
	"bytes"
	"iter"

	"github.com/go-json-experiment/json/jsontext"
)

// Fields yields the members of an object in order: each one's name, unquoted, and its value.
func Fields(doc []byte) iter.Seq2[string, []byte] {
	return func(yield func(string, []byte) bool) {
		for m := membersOf(doc); m.next(); {
			if !yield(unquote(m.name), m.value) {
				return
			}
		}
	}
}

// Field returns the value of one member of an object, nil when it has none of this name.
func Field(doc []byte, name string) []byte {
	var room [64]byte
	quoted, err := jsontext.AppendQuote(room[:0], name)
	if err != nil { // no UTF-8, so nobody's name
		return nil
	}
	for m := membersOf(doc); m.next(); {
		switch order := bytes.Compare(m.name, quoted); {
		case order == 0:
			return m.value
		case order > 0:
			return nil
		}
	}
	return nil
}

// Count returns the number of members of an object; those of objects inside it do not count.
func Count(doc []byte) int {
	n := 0
	for m := membersOf(doc); m.next(); {
		n++
	}
	return n
}

// members goes through an object. The zero members are those of {}.
type members struct {
	name, value []byte // the current one, the name in quotes
	rest        []byte // from behind the current one
}

// membersOf stands before the first member; whatever is not an object has none.
func membersOf(value []byte) members {
	if !isObject(value) {
		return members{}
	}
	return members{rest: value[1:]}
}

// next goes to the next member. At the end there is none, and name is nil: a nil name sorts before all others, so whoever
// walks two objects at once asks for nil first.
func (m *members) next() bool {
	if len(m.rest) == 0 || m.rest[0] == '}' {
		*m = members{}
		return false
	}
	from := 0
	if m.rest[0] == ',' {
		from = 1
	}
	colon := stringEnd(m.rest, from)
	end := valueEnd(m.rest, colon+1)
	m.name, m.value, m.rest = m.rest[from:colon:colon], m.rest[colon+1:end:end], m.rest[end:]
	return true
}

// pair is the next name of two objects that are walked at once, in order; a value is nil where the object has no such
// member.
type pair struct {
	name, a, b []byte
}

// pairs walks two objects at once.
type pairs struct {
	pair
	left, right members
}

func pairsOf(a, b []byte) pairs {
	p := pairs{left: membersOf(a), right: membersOf(b)}
	p.left.next()
	p.right.next()
	return p
}

func (p *pairs) next() bool {
	order := 0
	switch {
	case p.left.name == nil && p.right.name == nil:
		return false
	case p.left.name == nil:
		order = 1
	case p.right.name == nil:
		order = -1
	default:
		order = bytes.Compare(p.left.name, p.right.name)
	}
	p.pair = pair{}
	if order <= 0 {
		p.name, p.a = p.left.name, p.left.value
		p.left.next()
	}
	if order >= 0 {
		p.name, p.b = p.right.name, p.right.value
		p.right.next()
	}
	return true
}

// elements goes through an array.
type elements struct {
	value []byte
	rest  []byte
}

func elementsOf(array []byte) elements { return elements{rest: array[1:]} }

func (e *elements) next() bool {
	if e.rest[0] == ']' {
		return false
	}
	from := 0
	if e.rest[0] == ',' {
		from = 1
	}
	end := valueEnd(e.rest, from)
	e.value, e.rest = e.rest[from:end:end], e.rest[end:]
	return true
}

// valueEnd returns where the value that begins at i ends.
func valueEnd(b []byte, i int) int {
	switch b[i] {
	case '"':
		return stringEnd(b, i)
	case '{', '[':
		for depth := 0; ; {
			switch b[i] {
			case '"':
				i = stringEnd(b, i)
				continue
			case '{', '[':
				depth++
			case '}', ']':
				if depth--; depth == 0 {
					return i + 1
				}
			}
			i++
		}
	}
	for ; i < len(b); i++ {
		if c := b[i]; c == ',' || c == '}' || c == ']' {
			break
		}
	}
	return i
}

// stringEnd returns where the string whose opening quote is at i ends.
func stringEnd(b []byte, i int) int {
	for from := i + 1; ; {
		quote := from + bytes.IndexByte(b[from:], '"')
		escapes := 0
		for b[quote-1-escapes] == '\\' {
			escapes++
		}
		if from = quote + 1; escapes%2 == 0 {
			return from
		}
	}
}

func isObject(value []byte) bool { return len(value) > 0 && value[0] == '{' }
func isArray(value []byte) bool  { return len(value) > 0 && value[0] == '[' }

// absent says whether value is none: in an entity and in what a patch leaves of one, null is absence.
func absent(value []byte) bool { return len(value) == 0 || value[0] == 'n' }

func unquote(name []byte) string {
	if bytes.IndexByte(name, '\\') < 0 {
		return string(name[1 : len(name)-1])
	}
	plain, err := jsontext.AppendUnquote(nil, name)
	if err != nil {
		panic("BUG: a name that is not canonical: " + err.Error())
	}
	return string(plain)
}

// object writes an object, member by member.
type object struct {
	buf   []byte
	empty bool
}

func begin(buf []byte) object { return object{append(buf, '{'), true} }

// key writes a name in quotes; the value is to follow.
func (o *object) key(name []byte) {
	if !o.empty {
		o.buf = append(o.buf, ',')
	}
	o.empty = false
	o.buf = append(append(o.buf, name...), ':')
}

func (o *object) member(name, value []byte) {
	o.key(name)
	o.buf = append(o.buf, value...)
}

func (o *object) end() []byte { return append(o.buf, '}') }
