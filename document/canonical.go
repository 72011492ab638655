package document

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"github.com/go-json-experiment/json/jsontext"
)

// MaxDepth is how deep objects and arrays may nest. What walks them afterwards may recurse.
const MaxDepth = 64

// Patch returns the canonical form of any JSON value, as a merge patch may be. An error says at which byte of raw and
// why, and of the contents tells at most a name.
func Patch(raw []byte) ([]byte, error) { return canonical(raw, true) }

// Document returns the canonical form of a JSON object without the members that are null, those of objects inside it
// included, those in arrays not: in an entity null is absence, because a merge patch can tell no other null (RFC 7396 §1).
// Errors are like those of [Patch].
func Document(raw []byte) ([]byte, error) {
	if at := len(raw) - len(bytes.TrimLeft(raw, " \t\r\n")); at < len(raw) && raw[at] != '{' {
		if _, err := canonical(raw, true); err != nil {
			return nil, err
		}
		return nil, fmt.Errorf("byte %d: not an object", at)
	}
	return canonical(raw, false)
}

var (
	errDeep     = fmt.Errorf("nests deeper than %d", MaxDepth)
	errRepeated = errors.New("repeated name")
)

func canonical(raw []byte, nulls bool) ([]byte, error) {
	// Names are compared when they are sorted, which is cheaper than jsontext's way.
	buf, err := jsontext.AppendFormat(make([]byte, 0, len(raw)), raw, jsontext.AllowDuplicateNames(true))
	if err != nil {
		return nil, syntaxError(err)
	}
	var room [64]span
	s := sorter{buf: buf, members: room[:0]}
	_, end, err := s.value(0, 0, 0, nulls)
	switch {
	case errors.Is(err, errDeep):
		return nil, fmt.Errorf("byte %d: %w", deepAt(raw), err)
	case err != nil:
		_, err = jsontext.AppendFormat(nil, raw) // knows the place
		return nil, syntaxError(err)
	}
	return s.buf[:end], nil
}

func syntaxError(err error) error {
	syntax, ok := errors.AsType[*jsontext.SyntacticError](err)
	switch {
	case !ok:
		return errors.New("not JSON")
	case errors.Is(err, jsontext.ErrDuplicateName):
		return fmt.Errorf("byte %d: %w %.64q", syntax.ByteOffset, errRepeated, syntax.JSONPointer.LastToken())
	default: // its own words quote contents
		return fmt.Errorf("byte %d: not JSON", syntax.ByteOffset)
	}
}

// deepAt returns where raw, which is JSON, nests too deep.
func deepAt(raw []byte) int {
	depth := 0
	for i := 0; i < len(raw); i++ {
		switch raw[i] {
		case '"':
			i = stringEnd(raw, i) - 1
		case '{', '[':
			if depth++; depth > MaxDepth {
				return i
			}
		case '}', ']':
			depth--
		}
	}
	return len(raw)
}

// sorter sorts the members of compact JSON in place. Reading is never behind writing, as nothing gets longer.
type sorter struct {
	buf     []byte
	members []span // of the objects around the place, one behind the other
	spare   []byte
}

// span is where a member begins, its name ends and its value ends.
type span struct {
	from, name, to int
	drop           bool
}

// value moves the value at r to w and returns where both end. Members that are null stay if nulls.
func (s *sorter) value(r, w, depth int, nulls bool) (int, int, error) {
	switch s.buf[r] {
	case '{':
		if depth == MaxDepth {
			return r, w, errDeep
		}
		return s.object(r, w, depth+1, nulls)
	case '[':
		if depth == MaxDepth {
			return r, w, errDeep
		}
		return s.array(r, w, depth+1)
	}
	end := valueEnd(s.buf, r)
	return end, w + s.move(r, end, w), nil
}

func (s *sorter) move(r, end, w int) int {
	if r == w {
		return end - r
	}
	return copy(s.buf[w:], s.buf[r:end])
}

func (s *sorter) array(r, w, depth int) (int, int, error) {
	for s.buf[r] != ']' { // at [ or a comma
		s.buf[w] = s.buf[r]
		r, w = r+1, w+1
		if s.buf[r] == ']' {
			break
		}
		var err error
		if r, w, err = s.value(r, w, depth, true); err != nil {
			return r, w, err
		}
	}
	s.buf[w] = ']'
	return r + 1, w + 1, nil
}

func (s *sorter) object(r, w, depth int, nulls bool) (int, int, error) {
	start, base, inOrder := w, len(s.members), true
	for s.buf[r] != '}' { // at { or a comma
		s.buf[w] = s.buf[r]
		r, w = r+1, w+1
		if s.buf[r] == '}' {
			break
		}
		colon := stringEnd(s.buf, r)
		m := span{from: w, name: w + colon - r}
		w += s.move(r, colon+1, w)
		var err error
		if r, w, err = s.value(colon+1, w, depth, nulls); err != nil {
			return r, w, err
		}
		m.to, m.drop = w, !nulls && s.buf[m.name+1] == 'n'
		if n := len(s.members); m.drop || n > base && s.order(s.members[n-1], m) >= 0 {
			inOrder = false
		}
		s.members = append(s.members, m)
	}
	s.buf[w] = '}'
	r, w = r+1, w+1
	var err error
	if !inOrder {
		w, err = s.sort(start, w, s.members[base:])
	}
	s.members = s.members[:base]
	return r, w, err
}

func (s *sorter) order(a, b span) int {
	return bytes.Compare(s.buf[a.from:a.name], s.buf[b.from:b.name])
}

// sort puts the members of the object which is written from start to end in order and returns where it ends then.
func (s *sorter) sort(start, end int, members []span) (int, error) {
	slices.SortFunc(members, s.order)
	for i := 1; i < len(members); i++ {
		if s.order(members[i-1], members[i]) == 0 {
			return end, errRepeated
		}
	}
	s.spare = append(s.spare[:0], s.buf[start:end]...)
	w := start + 1
	for _, m := range members {
		if m.drop {
			continue
		}
		if w > start+1 {
			s.buf[w] = ','
			w++
		}
		w += copy(s.buf[w:], s.spare[m.from-start:m.to-start])
	}
	s.buf[w] = '}'
	return w + 1, nil
}
