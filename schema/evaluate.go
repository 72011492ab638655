package schema

import (
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// verdict is three-valued: unknown is what depends on hidden places. The greater is what "and" makes of two.
type verdict int

const (
	valid verdict = iota
	unknown
	invalid
)

func not(v verdict) verdict { return invalid - v }

// place is a location in the value and what is hidden below it.
type place struct {
	parent   *place
	name     string
	hidden   [][]string // the rest of each hidden path that leads through here
	children map[string]*place
}

// child returns the place of a member. Elements of arrays are passed through: their paths stay.
func (p *place) child(name string, element bool) *place {
	if c := p.children[name]; c != nil {
		return c
	}
	c := &place{parent: p, name: name}
	if element {
		c.hidden = p.hidden
	} else {
		for _, path := range p.hidden {
			if len(path) > 0 && (path[0] == "*" || path[0] == name) {
				c.hidden = append(c.hidden, path[1:])
			}
		}
	}
	if p.children == nil {
		p.children = make(map[string]*place)
	}
	p.children[name] = c
	return c
}

// veiled reports whether p itself is hidden.
func (p *place) veiled() bool {
	return slices.ContainsFunc(p.hidden, func(path []string) bool { return len(path) == 0 })
}

func (p *place) pointer() string {
	var names []string
	for ; p.parent != nil; p = p.parent {
		names = append(names, p.name)
	}
	slices.Reverse(names)
	return pointerOf(names)
}

// evaluation applies a schema to one value. The library decides about scalars; the evaluation knows the keywords of objects and arrays, and what a hidden member may be.
type evaluation struct {
	seen map[judged]verdict
	open map[judged]bool // what is being decided
	list []Violation
	mute int // how deep we are in a schema whose violations are none by themselves
}

// judged is what was decided before: without it, unevaluatedProperties would cost twice as much at each depth.
type judged struct {
	schema *jsonschema.Schema
	at     *place
}

func newEvaluation() *evaluation {
	return &evaluation{seen: make(map[judged]verdict), open: make(map[judged]bool)}
}

func (e *evaluation) run(s *jsonschema.Schema, v any, hidden [][]string) []Violation {
	e.evaluate(s, v, &place{hidden: hidden})
	return e.list
}

func (e *evaluation) violation(at *place, keyword, format string, args ...any) verdict {
	if e.mute == 0 && len(e.list) < MaxViolations {
		e.add(Violation{at.pointer(), keyword, fmt.Sprintf(format, args...)})
	}
	return invalid
}

// add keeps out what two branches say of the same place.
func (e *evaluation) add(v Violation) {
	if e.mute == 0 && len(e.list) < MaxViolations && !slices.Contains(e.list, v) {
		e.list = append(e.list, v)
	}
}

// quietly returns what s says of v without listing violations.
func (e *evaluation) quietly(s *jsonschema.Schema, v any, at *place) verdict {
	key := judged{s, at}
	if r, ok := e.seen[key]; ok {
		return r
	}
	e.mute++
	defer func() { e.mute-- }()
	return e.evaluate(s, v, at)
}

// evaluate returns what s says of v at at, and lists the violations unless it is muted.
func (e *evaluation) evaluate(s *jsonschema.Schema, v any, at *place) verdict {
	if at.veiled() {
		return unknown
	}
	key := judged{s, at}
	if r, ok := e.seen[key]; ok && (r != invalid || e.mute > 0) {
		return r
	}
	object, isObject := v.(map[string]any)
	array, isArray := v.([]any)
	if !isObject && !isArray {
		return e.scalar(s, v, at)
	}
	if s.Bool != nil {
		if *s.Bool {
			return valid
		}
		return e.violation(at, "false", "is not allowed")
	}
	if e.open[key] {
		return e.violation(at, "$ref", "has a schema that refers to itself without end")
	}
	e.open[key] = true
	defer delete(e.open, key)
	r := e.shape(s, v, at)
	if r != invalid {
		if s.Ref != nil {
			r = max(r, e.evaluate(s.Ref, v, at))
		}
		if isObject {
			r = max(r, e.object(s, object, at))
		} else {
			r = max(r, e.array(s, array, at))
		}
		r = max(r, e.conditions(s, v, at))
		if s.UnevaluatedProperties != nil && isObject {
			for _, name := range slices.Sorted(maps.Keys(object)) {
				if !e.evaluates(s, object, name, at, false) {
					r = max(r, e.evaluate(s.UnevaluatedProperties, object[name], at.child(name, false)))
				}
			}
		}
		if s.UnevaluatedItems != nil && isArray {
			for i, element := range array {
				if !e.evaluatesItem(s, array, i, at, false) {
					r = max(r, e.evaluate(s.UnevaluatedItems, element, at.child(strconv.Itoa(i), true)))
				}
			}
		}
	}
	e.seen[key] = r
	return r
}

// scalar leaves a value that holds nothing to the library.
func (e *evaluation) scalar(s *jsonschema.Schema, v any, at *place) verdict {
	err := s.Validate(v)
	if err == nil {
		return valid
	}
	if found, ok := err.(*jsonschema.ValidationError); ok && e.mute == 0 && len(e.list) < MaxViolations { //nolint:errorlint // it is returned as it is
		for _, leaf := range leaves(found, nil) {
			leaf.Pointer = at.pointer()
			e.add(leaf)
		}
	}
	return invalid
}

// shape looks at the keywords for the whole of an object or array.
func (e *evaluation) shape(s *jsonschema.Schema, v any, at *place) verdict {
	if err := (&jsonschema.Schema{DraftVersion: 2020, Types: s.Types}).Validate(v); err != nil {
		return e.library(err, at)
	}
	whole := &jsonschema.Schema{DraftVersion: 2020, Const: s.Const, Enum: s.Enum, UniqueItems: s.UniqueItems}
	err := whole.Validate(v)
	switch {
	case len(at.hidden) > 0 && (s.Const != nil || s.Enum != nil || err != nil):
		return unknown // the whole is more than what is seen of it
	case err != nil:
		return e.library(err, at)
	}
	return valid
}

func (e *evaluation) library(err error, at *place) verdict {
	if found, ok := err.(*jsonschema.ValidationError); ok { //nolint:errorlint // it is returned as it is
		for _, leaf := range leaves(found, nil) {
			leaf.Pointer = at.pointer()
			e.add(leaf)
		}
	}
	return invalid
}

// conditions looks at the keywords that combine schemas.
func (e *evaluation) conditions(s *jsonschema.Schema, v any, at *place) verdict {
	r := valid
	if s.Not != nil {
		n := not(e.quietly(s.Not, v, at))
		if n == invalid {
			e.violation(at, "not", "is what is not allowed")
		}
		r = max(r, n)
	}
	for _, all := range s.AllOf {
		r = max(r, e.evaluate(all, v, at))
	}
	if len(s.AnyOf) > 0 {
		r = max(r, e.alternatives(s.AnyOf, "anyOf", v, at))
	}
	if len(s.OneOf) > 0 {
		r = max(r, e.alternatives(s.OneOf, "oneOf", v, at))
	}
	for _, name := range slices.Sorted(maps.Keys(s.DependentSchemas)) {
		r = max(r, e.dependent(s.DependentSchemas[name], name, v, at))
	}
	if s.If != nil {
		r = max(r, e.branch(s, v, at))
	}
	return r
}

// alternatives decides anyOf and oneOf.
func (e *evaluation) alternatives(of []*jsonschema.Schema, keyword string, v any, at *place) verdict {
	var n [3]int
	for _, s := range of {
		n[e.quietly(s, v, at)]++
	}
	switch {
	case n[valid] == 0 && n[unknown] == 0:
		// Of a union the value mostly names which alternative it means: what is wrong with that one helps more.
		var meant []*jsonschema.Schema
		for _, s := range of {
			if e.meant(s, v, at) {
				meant = append(meant, s)
			}
		}
		if before := len(e.list); len(meant) == 1 {
			if e.evaluate(meant[0], v, at); len(e.list) > before {
				return invalid
			}
		}
		return e.violation(at, keyword, "is none of the alternatives")
	case keyword == "oneOf" && n[valid] > 1:
		return e.violation(at, keyword, "is more than one of the alternatives")
	case n[valid] > 0 && (keyword == "anyOf" || n[unknown] == 0):
		return valid
	}
	return unknown
}

// meant reports whether v has the type of s and no constant of s is another one in v.
func (e *evaluation) meant(s *jsonschema.Schema, v any, at *place) bool {
	for n := 0; s.Ref != nil && n < 8; n++ {
		s = s.Ref
	}
	if s.Types != nil && (&jsonschema.Schema{DraftVersion: 2020, Types: s.Types}).Validate(v) != nil {
		return false
	}
	object, _ := v.(map[string]any)
	for name, p := range s.Properties {
		if member, ok := object[name]; ok && (p.Const != nil || p.Enum != nil) && e.quietly(p, member, at.child(name, false)) == invalid {
			return false
		}
	}
	return true
}

// branch decides if, then and else.
func (e *evaluation) branch(s *jsonschema.Schema, v any, at *place) verdict {
	quietly := func(s *jsonschema.Schema) verdict {
		if s == nil {
			return valid
		}
		return e.quietly(s, v, at)
	}
	listed := func(s *jsonschema.Schema) verdict {
		if s == nil {
			return valid
		}
		return e.evaluate(s, v, at)
	}
	switch e.quietly(s.If, v, at) {
	case valid:
		return listed(s.Then)
	case invalid:
		return listed(s.Else)
	}
	switch yes, no := quietly(s.Then), quietly(s.Else); {
	case yes == no && yes == valid:
		return valid
	case yes == no && yes == invalid: // either way
		return e.violation(at, "if", "is wrong in either case of a condition")
	}
	return unknown
}

// dependent decides what s says of v when v has the member name.
func (e *evaluation) dependent(s *jsonschema.Schema, name string, v any, at *place) verdict {
	object, ok := v.(map[string]any)
	if !ok {
		return valid
	}
	if _, ok := object[name]; ok {
		return e.evaluate(s, v, at)
	}
	if len(at.child(name, false).hidden) > 0 {
		return min(unknown, e.quietly(s, v, at))
	}
	return valid
}
