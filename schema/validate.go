package schema

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"

	"github.com/roxyhub/roxy"
)

// MaxViolations is how many violations are listed.
const MaxViolations = 20

// Schema is one compiled schema, safe for concurrent use.
type Schema struct {
	file     string
	compiled *jsonschema.Schema
}

// Violation is one thing that is wrong with a value.
type Violation struct {
	Pointer string // JSON Pointer into the value; "" is the whole
	Keyword string // of the schema, such as required
	Message string // short, without what the value holds
}

// Violations is what is wrong with a value: at least one violation, at most MaxViolations, in the order of the value's
// names.
type Violations struct {
	Schema string // its file
	List   []Violation
}

// Error tells the first one and how many there are.
func (v *Violations) Error() string {
	if len(v.List) == 0 {
		return v.Schema + ": not as the schema says"
	}
	first := v.List[0]
	place := first.Pointer
	if place == "" {
		place = "the value"
	}
	text := fmt.Sprintf("%s: %s %s", v.Schema, place, first.Message)
	if more := len(v.List) - 1; more > 0 {
		text += fmt.Sprintf(", and %s more", count(more, "violation"))
	}
	return text
}

// File returns the name of the schema's file.
func (sc *Schema) File() string { return sc.file }

// Validate returns nil, or *Violations. value is JSON. A nil *Schema allows everything.
func (sc *Schema) Validate(value []byte) error {
	if sc == nil {
		return nil
	}
	v, err := decode(value)
	if err != nil {
		return sc.unread(err)
	}
	if sc.compiled.Validate(v) == nil {
		return nil
	}
	// The library found something; the evaluator says it in our words and always in the same order.
	if list := newEvaluation().run(sc.compiled, v, nil); len(list) > 0 {
		return &Violations{sc.file, list}
	}
	return &Violations{sc.file, []Violation{{Message: "is not as the schema says"}}}
}

// ValidateView is Validate for somebody who does not see hidden paths: value is what they see. Only what is wrong
// whatever the hidden places may hold is a violation: what is missing there is none, nor what depends on them by if,
// not, anyOf or oneOf. The verdict follows from value and hidden alone, and so tells nothing of what is hidden.
func (sc *Schema) ValidateView(value []byte, hidden []roxy.FieldPath) error {
	if sc == nil {
		return nil
	}
	if len(hidden) == 0 {
		return sc.Validate(value)
	}
	v, err := decode(value)
	if err != nil {
		return sc.unread(err)
	}
	paths := make([][]string, 0, len(hidden))
	for _, p := range hidden {
		if names := p.Names(); len(names) > 0 {
			paths = append(paths, names)
		}
	}
	if list := newEvaluation().run(sc.compiled, v, paths); len(list) > 0 {
		return &Violations{sc.file, list}
	}
	return nil
}

func (sc *Schema) unread(err error) error {
	return &Violations{sc.file, []Violation{{Message: err.Error()}}}
}

// exact is how long a number may be to be compared digit by digit; a longer one is what a double makes of it.
// Unlimited ones would cost seconds: 1e1000000 has a million digits.
const exact = 32

var (
	errNoJSON = errors.New("is no JSON")
	errNumber = errors.New("holds a number beyond what a double can hold")
)

func decode(text []byte) (any, error) {
	if text == nil { // as the data of an event that has none
		return nil, nil //nolint:nilnil // nil is JSON's null here
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, errNoJSON
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errNoJSON
	}
	return bound(v)
}

// bound replaces the numbers in v that would be expensive to compare.
func bound(v any) (any, error) {
	var err error
	switch v := v.(type) {
	case map[string]any:
		for name, member := range v {
			if v[name], err = bound(member); err != nil {
				return nil, err
			}
		}
	case []any:
		for i, element := range v {
			if v[i], err = bound(element); err != nil {
				return nil, err
			}
		}
	case json.Number:
		if len(v) <= exact && !strings.ContainsAny(string(v), "eE") {
			return v, nil
		}
		f, err := strconv.ParseFloat(string(v), 64)
		if err != nil {
			return nil, errNumber
		}
		return f, nil
	}
	return v, nil
}

// leaves lists what the library found at at.
func leaves(e *jsonschema.ValidationError, list []Violation) []Violation {
	switch k := e.ErrorKind.(type) {
	case *kind.Schema, *kind.Group, *kind.Reference, *kind.AllOf:
		for _, cause := range e.Causes {
			list = leaves(cause, list)
		}
		return list
	case *kind.Required:
		for _, name := range k.Missing {
			list = append(list, missing(pointerOf(e.InstanceLocation), name))
		}
		return list
	default:
		keyword := ""
		if path := k.KeywordPath(); len(path) > 0 {
			keyword = path[0]
		} else if _, ok := k.(*kind.FalseSchema); ok {
			keyword = "false"
		}
		return append(list, Violation{pointerOf(e.InstanceLocation), keyword, message(k)})
	}
}

func missing(pointer, name string) Violation {
	return Violation{pointer, "required", fmt.Sprintf("lacks the member %q", name)}
}

func pointerOf(location []string) string {
	var b strings.Builder
	for _, name := range location {
		b.WriteByte('/')
		b.WriteString(escape(name))
	}
	return b.String()
}

// message says what the library found, without what the value holds.
func message(k jsonschema.ErrorKind) string {
	switch k := k.(type) {
	case *kind.Type:
		return fmt.Sprintf("is of type %s, want %s", k.Got, strings.Join(k.Want, " or "))
	case *kind.Enum:
		return "is none of the values allowed here: " + spell(k.Want)
	case *kind.Const:
		return "is not the value that is allowed here: " + spell([]any{k.Want})
	case *kind.Format:
		return "is not of the format " + k.Want
	case *kind.MinLength:
		return fmt.Sprintf("has less than %s", count(k.Want, "character"))
	case *kind.MaxLength:
		return fmt.Sprintf("has more than %s", count(k.Want, "character"))
	case *kind.Pattern:
		return "does not match the pattern " + k.Want
	case *kind.Minimum:
		return "is less than " + number(k.Want)
	case *kind.Maximum:
		return "is more than " + number(k.Want)
	case *kind.ExclusiveMinimum:
		return "is not more than " + number(k.Want)
	case *kind.ExclusiveMaximum:
		return "is not less than " + number(k.Want)
	case *kind.MultipleOf:
		return "is no multiple of " + number(k.Want)
	case *kind.FalseSchema:
		return "is not allowed"
	case *kind.AnyOf:
		return "is none of the alternatives"
	case *kind.OneOf:
		if len(k.Subschemas) > 0 {
			return "is more than one of the alternatives"
		}
		return "is none of the alternatives"
	case *kind.Not:
		return "is what is not allowed"
	case *kind.MinItems:
		return fmt.Sprintf("has less than %s", count(k.Want, "element"))
	case *kind.UniqueItems:
		return "has two equal elements"
	case *kind.AdditionalProperties:
		return "has unknown members"
	case *kind.RefCycle:
		return "has a schema that refers to itself without end"
	}
	return "is not as the schema says"
}

// spell lists values of a schema while they are few and short.
func spell(values []any) string {
	text, err := json.Marshal(values)
	if err != nil || len(text) > 200 {
		return count(len(values), "value")
	}
	return strings.ReplaceAll(string(text[1:len(text)-1]), ",", ", ")
}

func number(r *big.Rat) string {
	if r.IsInt() {
		return r.RatString()
	}
	f, _ := r.Float64()
	return strconv.FormatFloat(f, 'g', -1, 64)
}
