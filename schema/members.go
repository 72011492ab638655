package schema

import (
	"maps"
	"slices"
	"strconv"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// object looks at the keywords for objects.
func (e *evaluation) object(s *jsonschema.Schema, object map[string]any, at *place) verdict {
	r := valid
	if s.MinProperties != nil && len(object) < *s.MinProperties {
		if len(at.hidden) > 0 {
			r = unknown
		} else {
			r = e.violation(at, "minProperties", "has less than %s", count(*s.MinProperties, "member"))
		}
	}
	if s.MaxProperties != nil && len(object) > *s.MaxProperties {
		r = e.violation(at, "maxProperties", "has more than %s", count(*s.MaxProperties, "member"))
	} else if s.MaxProperties != nil && len(at.hidden) > 0 {
		r = max(r, unknown)
	}
	r = max(r, e.required(s.Required, "required", object, at))
	for _, name := range slices.Sorted(maps.Keys(s.DependentRequired)) {
		if _, ok := object[name]; ok {
			r = max(r, e.required(s.DependentRequired[name], "dependentRequired", object, at))
		} else if len(at.child(name, false).hidden) > 0 {
			e.mute++
			r = max(r, min(unknown, e.required(s.DependentRequired[name], "dependentRequired", object, at)))
			e.mute--
		}
	}
	for _, name := range slices.Sorted(maps.Keys(object)) {
		r = max(r, e.member(s, name, object[name], at))
	}
	if len(at.hidden) > 0 {
		r = max(r, unseen(s, object, at))
	}
	return r
}

// required decides whether object has all the names.
func (e *evaluation) required(names []string, keyword string, object map[string]any, at *place) verdict {
	r := valid
	for _, name := range names {
		if _, ok := object[name]; ok {
			continue
		}
		// Hidden, or an object of which everything is hidden: a view leaves out what it emptied.
		if len(at.child(name, false).hidden) > 0 {
			r = max(r, unknown)
			continue
		}
		r = e.violation(at, keyword, "lacks the member %q", name)
	}
	return r
}

// member looks at one member of an object.
func (e *evaluation) member(s *jsonschema.Schema, name string, value any, at *place) verdict {
	r, known, below := valid, false, at.child(name, false)
	if p := s.Properties[name]; p != nil {
		known = true
		r = max(r, e.evaluate(p, value, below))
	}
	for _, expression := range sortedPatterns(s) {
		if expression.MatchString(name) {
			known = true
			r = max(r, e.evaluate(s.PatternProperties[expression], value, below))
		}
	}
	if !known {
		switch additional := s.AdditionalProperties.(type) {
		case bool:
			if !additional && !below.veiled() {
				r = e.violation(below, "additionalProperties", "is a member that the schema does not know")
			}
		case *jsonschema.Schema:
			r = max(r, e.evaluate(additional, value, below))
		}
	}
	if s.PropertyNames != nil && !below.veiled() && s.PropertyNames.Validate(name) != nil {
		r = e.violation(below, "propertyNames", "has a name that is not allowed")
	}
	return r
}

func sortedPatterns(s *jsonschema.Schema) []jsonschema.Regexp {
	return slices.SortedFunc(maps.Keys(s.PatternProperties), func(a, b jsonschema.Regexp) int {
		if a.String() < b.String() {
			return -1
		}
		return 1
	})
}

// unseen returns unknown when s says something of members that may be hidden.
func unseen(s *jsonschema.Schema, object map[string]any, at *place) verdict {
	for name := range s.Properties {
		if _, ok := object[name]; !ok && len(at.child(name, false).hidden) > 0 {
			return unknown
		}
	}
	additional, isBool := s.AdditionalProperties.(bool)
	if len(s.PatternProperties) > 0 || s.PropertyNames != nil || s.UnevaluatedProperties != nil || s.AdditionalProperties != nil && (!isBool || !additional) {
		return unknown
	}
	return valid
}

// array looks at the keywords for arrays.
func (e *evaluation) array(s *jsonschema.Schema, array []any, at *place) verdict {
	r := valid
	if s.MinItems != nil && len(array) < *s.MinItems {
		r = e.violation(at, "minItems", "has less than %s", count(*s.MinItems, "element"))
	}
	if s.MaxItems != nil && len(array) > *s.MaxItems {
		r = e.violation(at, "maxItems", "has more than %s", count(*s.MaxItems, "element"))
	}
	for i, element := range array {
		below := at.child(strconv.Itoa(i), true)
		if i < len(s.PrefixItems) {
			r = max(r, e.evaluate(s.PrefixItems[i], element, below))
		} else if s.Items2020 != nil {
			r = max(r, e.evaluate(s.Items2020, element, below))
		}
	}
	if s.Contains == nil {
		return r
	}
	var n [3]int
	for i, element := range array {
		n[e.quietly(s.Contains, element, at.child(strconv.Itoa(i), true))]++
	}
	least := 1
	if s.MinContains != nil {
		least = *s.MinContains
	}
	switch possible := n[valid] + n[unknown]; {
	case possible < least:
		return e.violation(at, "contains", "has less than %s of a kind that is wanted", count(least, "element"))
	case s.MaxContains != nil && n[valid] > *s.MaxContains:
		return e.violation(at, "maxContains", "has more than %s of a kind", count(*s.MaxContains, "element"))
	case n[valid] < least, s.MaxContains != nil && possible > *s.MaxContains:
		return max(r, unknown)
	}
	return r
}

// within returns the schemas that s applies to the same place, unless they certainly do not accept v.
func (e *evaluation) within(s *jsonschema.Schema, v any, at *place) []*jsonschema.Schema {
	var all []*jsonschema.Schema
	add := func(of *jsonschema.Schema) {
		if of != nil && e.quietly(of, v, at) != invalid {
			all = append(all, of)
		}
	}
	add(s.Ref)
	for _, list := range [][]*jsonschema.Schema{s.AllOf, s.AnyOf, s.OneOf} {
		for _, of := range list {
			add(of)
		}
	}
	if s.If != nil {
		if r := e.quietly(s.If, v, at); r != invalid {
			add(s.If)
			add(s.Then)
			if r == unknown {
				add(s.Else)
			}
		} else {
			add(s.Else)
		}
	}
	if object, ok := v.(map[string]any); ok {
		for name, of := range s.DependentSchemas {
			if _, ok := object[name]; ok || len(at.child(name, false).hidden) > 0 {
				add(of)
			}
		}
	}
	return all
}

// evaluates reports whether s, or what it applies to the same place, says something of the member. all is for the
// schemas within: their own unevaluatedProperties counts.
func (e *evaluation) evaluates(s *jsonschema.Schema, object map[string]any, name string, at *place, all bool) bool {
	if s.Properties[name] != nil || s.AdditionalProperties != nil || all && s.UnevaluatedProperties != nil {
		return true
	}
	for expression := range s.PatternProperties {
		if expression.MatchString(name) {
			return true
		}
	}
	return slices.ContainsFunc(e.within(s, object, at), func(of *jsonschema.Schema) bool { return e.evaluates(of, object, name, at, true) })
}

// evaluatesItem is evaluates for an element of an array.
func (e *evaluation) evaluatesItem(s *jsonschema.Schema, array []any, i int, at *place, all bool) bool {
	if i < len(s.PrefixItems) || s.Items2020 != nil || all && s.UnevaluatedItems != nil {
		return true
	}
	if s.Contains != nil && e.quietly(s.Contains, array[i], at.child(strconv.Itoa(i), true)) != invalid {
		return true
	}
	return slices.ContainsFunc(e.within(s, array, at), func(of *jsonschema.Schema) bool { return e.evaluatesItem(of, array, i, at, true) })
}
