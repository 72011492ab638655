// Package document is the JSON of entities as pure functions on bytes: its canonical form, merge patches (RFC 7396),
// the differences between two versions, and what is left of them in a view. It keeps nothing and knows no network.
//
// Canonical is JSON without white space, with strings spelled in one way, numbers as they were sent (1e400 and numbers of
// 20 digits survive; 1 and 1.0 differ) and the members of objects sorted by the bytes of their quoted names. Two canonical values are the
// same when their bytes are. All functions but Document and Patch take canonical values and return such; nil is absence.
package document

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// maxDepth bounds how deep a value nests.
const maxDepth = 64

// Document returns the canonical form of a JSON object without its members that are null, those of nested objects
// included: in an entity null is absence, since a merge patch can tell no other null. Within arrays null stays.
// The error says at which byte what is wrong, and quotes nothing but names.
func Document(raw []byte) ([]byte, error) {
	if jsontext.Value(raw).Kind() != '{' {
		return nil, errors.New("want an object")
	}
	return canonical(raw, true)
}

// Patch returns the canonical form of any JSON value, with its nulls, as a merge patch may have them. Errors as Document's.
func Patch(raw []byte) ([]byte, error) { return canonical(raw, false) }

func canonical(raw []byte, dropNull bool) ([]byte, error) {
	value := jsontext.Value(slices.Clone(raw))
	err := value.Format(
		jsontext.AllowDuplicateNames(false), jsontext.AllowInvalidUTF8(false), jsontext.PreserveRawStrings(false),
		jsontext.CanonicalizeRawInts(false), jsontext.CanonicalizeRawFloats(false), jsontext.EscapeForHTML(false), jsontext.EscapeForJS(false),
	)
	if err != nil {
		return nil, syntax(err)
	}
	if depth(value) > maxDepth {
		return nil, fmt.Errorf("nests more than %d deep", maxDepth)
	}
	if sorted(value, dropNull) {
		return value, nil
	}
	return order(make([]byte, 0, len(value)), value, dropNull), nil
}

// syntax tells an error of the JSON reader without what it quotes of the value.
func syntax(err error) error {
	bad, ok := errors.AsType[*jsontext.SyntacticError](err)
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return errors.New("the JSON value ends too early")
	case !ok:
		return errors.New("not JSON")
	case errors.Is(bad.Err, jsontext.ErrDuplicateName):
		return fmt.Errorf("byte %d: a name is given twice", bad.ByteOffset)
	}
	return fmt.Errorf("byte %d: not JSON: %s", bad.ByteOffset, strings.TrimPrefix(bad.Err.Error(), "jsontext: "))
}

// depth returns how many objects and arrays lie inside one another.
func depth(v []byte) (deepest int) {
	now := 0
	for i := 0; i < len(v); i++ {
		switch v[i] {
		case '"':
			i = skipString(v, i) - 1
		case '{', '[':
			now++
			deepest = max(deepest, now)
		case '}', ']':
			now--
		}
	}
	return deepest
}

// sorted reports whether order would change nothing, which is so for what the hub wrote itself.
func sorted(v []byte, dropNull bool) bool {
	switch v[0] {
	case '{':
		var before []byte
		for m := range members(v) {
			if before != nil && bytes.Compare(before, m.name) >= 0 || dropNull && isNull(m.value) || !sorted(m.value, dropNull) {
				return false
			}
			before = m.name
		}
	case '[':
		for e := range elements(v) {
			if !sorted(e, false) {
				return false
			}
		}
	}
	return true
}

// order appends v with its members sorted and, on request, without nulls.
func order(dst, v []byte, dropNull bool) []byte {
	switch v[0] {
	case '{':
		all := slices.Collect(members(v))
		if dropNull {
			all = slices.DeleteFunc(all, func(m member) bool { return isNull(m.value) })
		}
		slices.SortFunc(all, func(a, b member) int { return bytes.Compare(a.name, b.name) })
		w := objectWriter{dst: append(dst, '{')}
		for _, m := range all {
			w.name(m.name)
			w.dst = order(w.dst, m.value, dropNull)
		}
		return append(w.dst, '}')
	case '[':
		dst = append(dst, '[')
		first := true
		for e := range elements(v) {
			if !first {
				dst = append(dst, ',')
			}
			first = false
			dst = order(dst, e, false)
		}
		return append(dst, ']')
	}
	return append(dst, v...)
}

// Fields yields the members of an object in order.
func Fields(doc []byte) iter.Seq2[string, []byte] {
	return func(yield func(string, []byte) bool) {
		for m := range members(doc) {
			if !yield(unquote(m.name), m.value) {
				return
			}
		}
	}
}

// Field returns one member of an object; nil when it has none of that name.
func Field(doc []byte, name string) []byte { return get(doc, quote(name)) }

// Count returns how many members an object has.
func Count(doc []byte) (n int) {
	for range members(doc) {
		n++
	}
	return n
}
