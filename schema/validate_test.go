package schema_test

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/schema"
)

const order = `{
  "x-event": "probe",
  "type": "object",
  "required": ["table", "lines"],
  "additionalProperties": false,
  "properties": {
    "table": {"type": "integer", "minimum": 1, "maximum": 20},
    "at": {"type": "string", "format": "date-time"},
    "status": {"enum": ["open", "paid"]},
    "code": {"type": "string", "pattern": "^[A-Z]+$", "maxLength": 3},
    "tags": {"type": "array", "uniqueItems": true, "minItems": 1, "items": {"type": "string"}},
    "lines": {"type": "object", "propertyNames": {"maxLength": 4}, "additionalProperties": {
      "type": "object", "required": ["product", "price"], "properties": {"price": {"type": "integer", "exclusiveMinimum": 0}, "product": {"type": "string"}}}},
    "payment": {"oneOf": [{"$ref": "#/$defs/card"}, {"$ref": "#/$defs/cash"}]}
  },
  "$defs": {
    "card": {"type": "object", "required": ["method", "last4"], "properties": {"method": {"const": "card"}, "last4": {"type": "string"}}},
    "cash": {"type": "object", "required": ["method", "given"], "properties": {"method": {"const": "cash"}, "given": {"type": "number"}}}
  }
}`

func compile(t testing.TB, text string) *schema.Schema {
	t.Helper()
	set, err := schema.Compile(map[string][]byte{"order.json": []byte(text)})
	if err != nil {
		t.Fatal(err)
	}
	return set.Event("probe")
}

// found lists violations as "pointer keyword".
func found(t *testing.T, err error) []string {
	t.Helper()
	if err == nil {
		return nil
	}
	var v *schema.Violations
	if !errors.As(err, &v) {
		t.Fatal(err)
	}
	list := make([]string, 0, len(v.List))
	for _, one := range v.List {
		list = append(list, one.Pointer+" "+one.Keyword)
	}
	return list
}

func TestValidateNamesEachPlaceAndKeyword(t *testing.T) {
	s := compile(t, order)
	for value, want := range map[string][]string{
		`{"table":1,"lines":{}}`: nil,
		`{"table":20,"lines":{"a":{"product":"tea","price":1}},"status":"open"}`: nil,
		`{}`:                                      {" required", " required"},
		`[]`:                                      {" type"},
		`"x"`:                                     {" type"},
		`{"table":1.5,"lines":{}}`:                {"/table type"},
		`{"table":1.0,"lines":{}}`:                nil,
		`{"table":0,"lines":{}}`:                  {"/table minimum"},
		`{"table":1e300,"lines":{}}`:              {"/table maximum"},
		`{"table":1e9999,"lines":{}}`:             {" "},
		`{"table":1,"lines":{},"extra~/":1}`:      {"/extra~0~1 additionalProperties"},
		`{"table":1,"lines":{},"at":"tomorrow"}`:  {"/at format"},
		`{"table":1,"lines":{},"status":"lost"}`:  {"/status enum"},
		`{"table":1,"lines":{},"code":"abcd"}`:    {"/code maxLength", "/code pattern"},
		`{"table":1,"lines":{},"tags":["a","a"]}`: {"/tags uniqueItems"},
		`{"table":1,"lines":{},"tags":[]}`:        {"/tags minItems"},
		`{"table":1,"lines":{},"tags":["a",1,2]}`: {"/tags/1 type", "/tags/2 type"},
		`{"table":1,"lines":{"a":{"price":0},"b":{"product":1,"price":1},"toolong":{"product":"x","price":1}}}`: {
			"/lines/a required", "/lines/a/price exclusiveMinimum", "/lines/b/product type", "/lines/toolong propertyNames",
		},
		`{"table":1,"lines":{},"payment":{"method":"card"}}`: {"/payment required"},
		`{"table":1,"lines":{},"payment":{"method":"gold"}}`: {"/payment oneOf"},
		`{"table":1,"lines":{},"payment":7}`:                 {"/payment oneOf"},
		`{"table":1`:                                         {" "},
		``:                                                   {" "},
		`{"table":1,"lines":{}} x`:                           {" "},
	} {
		if got := found(t, s.Validate([]byte(value))); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", value, got, want)
		}
	}
}

func TestDataThatIsAbsentIsNull(t *testing.T) {
	if err := compile(t, `{"x-event":"probe","type":"null"}`).Validate(nil); err != nil {
		t.Error(err)
	}
}

func TestViolationsAreFewAndQuoteNoValue(t *testing.T) {
	s := compile(t, `{"x-event":"probe","additionalProperties":{"type":"integer"}}`)
	var members []string
	for i := range 100 {
		members = append(members, fmt.Sprintf(`"m%02d":"secret"`, i))
	}
	value := []byte("{" + strings.Join(members, ",") + "}")
	err := s.Validate(value)
	var v *schema.Violations
	if !errors.As(err, &v) || len(v.List) != schema.MaxViolations || v.Schema != "order.json" || v.List[0].Pointer != "/m00" {
		t.Fatalf("%v", err)
	}
	if err.Error() != "order.json: /m00 is of type string, want integer, and 19 violations more" {
		t.Errorf("%v", err)
	}
	for range 20 {
		var again *schema.Violations
		if errors.As(s.Validate(value), &again); !reflect.DeepEqual(v, again) {
			t.Fatal("another time, other violations")
		}
	}
	for _, text := range []string{`{"const":"a"}`, `{"enum":["a"]}`, `{"pattern":"z"}`, `{"format":"email"}`, `{"maxLength":2}`, `{"not":{}}`, `false`, `{"anyOf":[false]}`, `{"type":"null"}`} {
		s := compile(t, `{"x-event":"probe","properties":{"p":`+text+`}}`)
		err := s.Validate([]byte(`{"p":"sesame"}`))
		if !errors.As(err, &v) || strings.Contains(v.List[0].Message, "sesame") || strings.HasSuffix(v.List[0].Message, "schema says") {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestNumbersAreComparedExactlyAndCheaply(t *testing.T) {
	s := compile(t, `{"x-event":"probe","items":{"type":"number","multipleOf":0.01,"maximum":9007199254740993}}`)
	for value, good := range map[string]bool{
		`[19.99, 1.10, 0, -3]`: true, `[0.001]`: false, `[9007199254740993]`: true, `[9007199254740994]`: false, `[1e2]`: true,
		"[" + strings.Repeat("1e1000000,", 5000) + "0]": false, "[1" + strings.Repeat("0", 400) + "]": false,
	} {
		if err := s.Validate([]byte(value)); (err == nil) != good {
			t.Errorf("%.60s: %v", value, err)
		}
	}
}

func hidden(t *testing.T, paths ...string) []roxy.FieldPath {
	t.Helper()
	var out []roxy.FieldPath
	for _, p := range paths {
		path, err := roxy.ParseFieldPath(p)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, path)
	}
	return out
}

func TestAViewIsNotBlamedForWhatItDoesNotShow(t *testing.T) {
	for name, tt := range map[string]struct {
		schema string
		hidden string
		view   string
		want   []string
	}{
		"a required member that is hidden":             {`"required":["cost","price"]`, "cost", `{"price":1}`, nil},
		"the visible one of two that are missing":      {`"required":["cost","price"]`, "cost", `{}`, []string{" required"}},
		"an object of hidden members alone":            {`"required":["customer"]`, "customer.phone", `{}`, nil},
		"a nested one":                                 {`"properties":{"customer":{"required":["phone","name"]}}`, "customer.phone", `{"customer":{"name":"x"}}`, nil},
		"a visible one beside it":                      {`"properties":{"customer":{"required":["phone","name"]}}`, "customer.phone", `{"customer":{}}`, []string{"/customer required"}},
		"in elements of arrays":                        {`"properties":{"items":{"items":{"required":["cost"]}}}`, "items.cost", `{"items":[{},{"cost2":1}]}`, nil},
		"a visible fault in an element":                {`"properties":{"items":{"items":{"required":["cost","n"]}}}`, "items.cost", `{"items":[{"n":1},{}]}`, []string{"/items/1 required"}},
		"below any name":                               {`"properties":{"lines":{"additionalProperties":{"required":["cost","n"]}}}`, "lines.*.cost", `{"lines":{"a":{"n":1},"b":{}}}`, []string{"/lines/b required"}},
		"a value at a hidden place":                    {`"properties":{"cost":{"type":"integer"}}`, "cost", `{"cost":"x"}`, nil},
		"a value below a hidden place":                 {`"properties":{"c":{"required":["x"],"properties":{"d":{"type":"integer"}}}}`, "c", `{"c":{"d":"x"}}`, nil},
		"a member that a hidden one asks for":          {`"dependentRequired":{"cost":["price"]}`, "cost", `{}`, nil},
		"a hidden one that a member asks for":          {`"dependentRequired":{"price":["cost","currency"]}`, "cost", `{"price":1}`, []string{" dependentRequired"}},
		"a schema that a hidden one asks for":          {`"dependentSchemas":{"cost":{"required":["price"]}}`, "cost", `{}`, nil},
		"if on a hidden member":                        {`"if":{"properties":{"vip":{"const":true}},"required":["vip"]},"then":{"required":["gift"]},"else":{"required":["deposit"]}`, "vip", `{"gift":1}`, nil},
		"if without required on a hidden member":       {`"if":{"properties":{"vip":{"const":true}}},"then":{"required":["gift"]}`, "vip", `{}`, nil},
		"either way of an if on a hidden member":       {`"if":{"properties":{"vip":{"const":true}}},"then":{"required":["gift"]},"else":{"required":["gift"]}`, "vip", `{}`, []string{" if"}},
		"if on a visible member":                       {`"if":{"required":["price"]},"then":{"required":["cost","gift"]}`, "cost", `{"price":1}`, []string{" required"}},
		"an alternative with hidden members":           {`"anyOf":[{"required":["cost"]},{"required":["price"]}]`, "cost", `{}`, nil},
		"alternatives that fail visibly":               {`"oneOf":[{"required":["k"],"properties":{"k":{"const":1}}},{"required":["cost"],"properties":{"k":{"const":2}}}]`, "cost", `{"k":3}`, []string{" oneOf"}},
		"not with hidden members":                      {`"not":{"required":["cost"]}`, "cost", `{}`, nil},
		"allOf with hidden members":                    {`"allOf":[{"required":["cost"]},{"$ref":"#/$defs/p"}],"$defs":{"p":{"required":["cost","price"]}}`, "cost", `{}`, []string{" required"}},
		"too few members":                              {`"minProperties":2`, "cost", `{"a":1}`, nil},
		"too many members":                             {`"maxProperties":1`, "cost", `{"a":1,"b":2}`, []string{" maxProperties"}},
		"a constant object":                            {`"properties":{"a":{"const":{"b":1,"cost":2}}}`, "a.cost", `{"a":{"b":1}}`, nil},
		"elements that differ where they are not seen": {`"properties":{"a":{"uniqueItems":true}}`, "a.cost", `{"a":[{},{}]}`, nil},
		"an element of a kind":                         {`"properties":{"a":{"contains":{"required":["cost"]}}}`, "a.cost", `{"a":[{},{}]}`, nil},
		"no element of a kind":                         {`"properties":{"a":{"contains":{"required":["cost","n"]}}}`, "a.cost", `{"a":[{},{}]}`, []string{"/a contains"}},
		"an unknown member":                            {`"properties":{"cost":{}},"additionalProperties":false`, "cost", `{"x":1}`, []string{"/x additionalProperties"}},
		"an unevaluated member":                        {`"anyOf":[{"properties":{"a":{}},"required":["cost"]}],"unevaluatedProperties":false`, "cost", `{"a":1,"b":1}`, []string{"/b false"}},
		"two hidden paths, one of them whole":          {`"required":["a","b"],"properties":{"b":{"required":["c"]}}`, "a b.c", `{"b":{}}`, nil},
	} {
		t.Run(name, func(t *testing.T) {
			s := compile(t, `{"x-event":"probe",`+tt.schema+`}`)
			if got := found(t, s.ValidateView([]byte(tt.view), hidden(t, strings.Fields(tt.hidden)...))); !slices.Equal(got, tt.want) {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
}

func BenchmarkValidate(b *testing.B) {
	s := compile(b, order)
	value := []byte(`{"table":7,"at":"2026-07-12T20:15:00Z","status":"open","lines":{"a":{"product":"espresso","price":250},"b":{"product":"spritz","price":690}}}`)
	b.ReportAllocs()
	for b.Loop() {
		if err := s.Validate(value); err != nil {
			b.Fatal(err)
		}
	}
}
