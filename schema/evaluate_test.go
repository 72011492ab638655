package schema

import (
	"testing"
)

// FuzzTheEvaluationAgreesWithTheLibrary: of a value of which nothing is hidden the two say the same, and a view never
// has a violation of its own: where the whole is valid, so is each view.
func FuzzTheEvaluationAgreesWithTheLibrary(f *testing.F) {
	for _, seed := range [][2]string{
		{`{"type":"object","required":["a"],"minProperties":2,"properties":{"a":{"type":"array","contains":{"const":1},"maxContains":2}}}`, `{"a":[1,1,2],"b":{}}`},
		{`{"anyOf":[{"properties":{"a":{"const":1}}},{"required":["b"]}],"unevaluatedProperties":false}`, `{"a":1,"b":2,"c":3}`},
		{`{"oneOf":[{"prefixItems":[true,{"type":"string"}]},{"items":{"type":"object"}}],"unevaluatedItems":{"type":"null"}}`, `[1,"x",null]`},
		{`{"if":{"required":["a"]},"then":{"properties":{"b":false}},"else":{"maxProperties":1},"unevaluatedProperties":{"type":"integer"}}`, `{"a":1,"b":2}`},
		{`{"dependentRequired":{"a":["b"]},"dependentSchemas":{"a":{"properties":{"b":{}}}},"propertyNames":{"minLength":1},"patternProperties":{"^x":{"not":{"type":"array"}}},"additionalProperties":{"type":"object"}}`, `{"a":{},"x":[],"":1}`},
		{`{"$defs":{"n":{"properties":{"next":{"$ref":"#/$defs/n"}},"unevaluatedProperties":false}},"$ref":"#/$defs/n"}`, `{"next":{"next":{"x":1}}}`},
		{`{"$ref":"#/$defs/a","$defs":{"a":{"$ref":"#/$defs/b"},"b":{"anyOf":[{"$ref":"#/$defs/a"}]}}}`, `{"a":1}`},
		{`{"uniqueItems":true,"items":{"enum":[1,{"a":[2]},[3]]},"minItems":2}`, `[{"a":[2]},[3],{"a":[2]}]`},
		{`{"allOf":[{"properties":{"a":true}},{"patternProperties":{"b":true}}],"unevaluatedProperties":false}`, `{"a":1,"b":1,"c":1}`},
		{`{"contains":{"type":"integer"},"minContains":0,"unevaluatedItems":false}`, `[1,2,"x"]`},
	} {
		f.Add([]byte(seed[0]), []byte(seed[1]), "a")
	}
	f.Fuzz(func(t *testing.T, text, value []byte, name string) {
		set, err := Compile(map[string][]byte{"a.json": text, "probe.json": []byte(`{"x-event":"probe","$ref":"a.json"}`)})
		if err != nil {
			return
		}
		v, err := decode(value)
		if err != nil {
			return
		}
		s := set.Event("probe").compiled
		whole := s.Validate(v)
		list := newEvaluation().run(s, v, nil)
		if (whole == nil) != (len(list) == 0) {
			t.Fatalf("schema %s\nvalue %s\nthe library: %v\nthe evaluation: %v", text, value, whole, list)
		}
		if object, ok := v.(map[string]any); ok && whole == nil {
			delete(object, name)
			if list := newEvaluation().run(s, object, [][]string{{name}}); len(list) > 0 {
				t.Fatalf("schema %s\nvalue %s without %q: %v", text, value, name, list)
			}
		}
	})
}
