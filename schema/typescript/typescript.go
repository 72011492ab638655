// Package typescript writes the types of a folder of JSON Schemas as TypeScript. It promises that what a schema accepts
// has the type, as far as TypeScript can tell; numbers' bounds, patterns and conditions it cannot.
package typescript

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/roxyhub/roxy/schema"
)

const header = "// Made by `roxy generate typescript` from JSON Schemas: change those and make it anew.\n"

// Generate returns a module with a type for each file of the set, for what is below their $defs and for whatever else
// is referred to, by name, and with RoxyEvents and RoxyEntities, which tell what is for which. The same set gives the
// same bytes.
func Generate(set *schema.Set) []byte {
	g := &generator{names: make(map[place]string)}
	types := set.Types()
	for _, t := range types {
		g.names[place{t.File, t.Pointer}] = t.Name
	}
	g.text(header)
	for _, t := range types {
		g.named(t)
	}
	events, entities := make(map[string]string), make(map[string]string)
	for _, f := range set.Files() {
		if f.Topic != "" {
			entities[f.Topic] = f.Type
		}
		for _, e := range f.Events {
			events[e] = f.Type
		}
	}
	g.index("RoxyEvents", "The data of events, by their type.", events)
	g.index("RoxyEntities", "Entities, by the pattern of their topics; of several that match, the most specific counts.", entities)
	return []byte(g.out.String())
}

type place struct{ file, pointer string }

type generator struct {
	names map[place]string
	out   strings.Builder
	file  string // whose types are written
}

func (g *generator) text(parts ...string) {
	for _, p := range parts {
		g.out.WriteString(p)
	}
}

// named writes one exported type: an interface where it is an object and nothing else.
func (g *generator) named(t schema.Type) {
	g.file = t.File
	s, _ := t.Schema.(map[string]any)
	g.text("\n", comment(documentation(s, t.Name), ""))
	if plainObject(s) {
		g.text("export interface ", t.Name, " ", g.object(s, ""), "\n")
		return
	}
	g.text("export type ", t.Name, " = ", g.expression(t.Schema, "").text, ";\n")
}

func (g *generator) index(name, what string, members map[string]string) {
	g.text("\n", comment(what, ""), "export interface ", name, " {\n")
	for _, key := range slices.Sorted(maps.Keys(members)) {
		g.text("  ", literal(key), ": ", members[key], ";\n")
	}
	g.text("}\n")
}

// plainObject reports whether s says no more than what an interface can.
func plainObject(s map[string]any) bool {
	for _, keyword := range []string{"$ref", "const", "enum", "oneOf", "anyOf", "allOf"} {
		if _, ok := s[keyword]; ok {
			return false
		}
	}
	return slices.Equal(typesOf(s), []string{"object"})
}

// typesOf returns the JSON types that s is about, nil for all of them.
func typesOf(s map[string]any) []string {
	switch t := s["type"].(type) {
	case string:
		return []string{t}
	case []any:
		var all []string
		for _, one := range t {
			if name, ok := one.(string); ok {
				all = append(all, name)
			}
		}
		return all
	}
	// Without a type a schema says nothing of other values. Whoever describes members means an object, though.
	for _, keyword := range []string{"properties", "additionalProperties", "patternProperties"} {
		if _, ok := s[keyword]; ok {
			return []string{"object"}
		}
	}
	for _, keyword := range []string{"items", "prefixItems"} {
		if _, ok := s[keyword]; ok {
			return []string{"array"}
		}
	}
	return nil
}

// expression is a type as text, with how tightly its parts hold together.
type expression struct {
	text string
	join string // " | ", " & ", or "" for one word or bracket
}

// within returns e as an operand of join, or of [] for "".
func (e expression) within(join string) string {
	if e.join == "" || e.join == join {
		return e.text
	}
	return "(" + e.text + ")"
}

// combine joins types by join: each once, without those that change nothing. zero is what is left of none.
func combine(join, zero string, types []expression) expression {
	// A union with unknown is unknown and one with never is as without it; for intersections it is the other way round.
	absorbing, neutral := "unknown", "never"
	if join == " & " {
		absorbing, neutral = neutral, absorbing
	}
	var words []string
	last := expression{text: zero}
	for _, t := range types {
		if t.text == absorbing {
			return t
		}
		if t.text == neutral {
			continue
		}
		if word := t.within(join); !slices.Contains(words, word) {
			words, last = append(words, word), t
		}
	}
	if len(words) < 2 {
		return last
	}
	return expression{strings.Join(words, join), join}
}

// expression returns the type of what s accepts. indent is that of the line it begins in.
func (g *generator) expression(s any, indent string) expression {
	object, ok := s.(map[string]any)
	if !ok {
		if s == false {
			return expression{text: "never"}
		}
		return expression{text: "unknown"}
	}
	var parts []expression
	if ref, ok := object["$ref"].(string); ok {
		file, pointer := schema.Resolve(g.file, ref)
		parts = append(parts, expression{text: g.names[place{file, pointer}]})
	}
	if value, ok := object["const"]; ok {
		parts = append(parts, expression{text: literal(value)})
	} else if values, ok := object["enum"].([]any); ok {
		parts = append(parts, union(values))
	} else if types := typesOf(object); types != nil {
		var each []expression
		for _, t := range types {
			each = append(each, g.ofType(t, object, indent))
		}
		parts = append(parts, combine(" | ", "never", each))
	}
	for _, keyword := range []string{"allOf", "anyOf", "oneOf"} {
		list, ok := object[keyword].([]any)
		if !ok {
			continue
		}
		var each []expression
		for _, one := range list {
			each = append(each, g.expression(one, indent))
		}
		if keyword == "allOf" {
			parts = append(parts, combine(" & ", "unknown", each))
		} else {
			parts = append(parts, combine(" | ", "never", each))
		}
	}
	return combine(" & ", "unknown", parts)
}

func union(values []any) expression {
	var each []expression
	for _, v := range values {
		each = append(each, expression{text: literal(v)})
	}
	return combine(" | ", "never", each)
}

func (g *generator) ofType(name string, s map[string]any, indent string) expression {
	switch name {
	case "integer", "number":
		return expression{text: "number"}
	case "array":
		return expression{text: g.array(s, indent)}
	case "object":
		return expression{text: g.object(s, indent)}
	}
	return expression{text: name} // string, boolean and null are called the same
}

// array returns a tuple for prefixItems, and X[] otherwise.
func (g *generator) array(s map[string]any, indent string) string {
	rest, limited := s["items"]
	of := expression{text: "unknown"}
	if limited {
		of = g.expression(rest, indent)
	}
	prefix, _ := s["prefixItems"].([]any)
	if len(prefix) == 0 {
		if of.text == "never" {
			return "[]"
		}
		return of.within("") + "[]"
	}
	least := whole(s["minItems"], 0)
	var elements []string
	for i, one := range prefix {
		e := g.expression(one, indent)
		if i < least {
			elements = append(elements, e.text)
		} else {
			elements = append(elements, e.within("")+"?")
		}
	}
	if of.text != "never" && whole(s["maxItems"], len(prefix)+1) > len(prefix) {
		elements = append(elements, "..."+of.within("")+"[]")
	}
	return "[" + strings.Join(elements, ", ") + "]"
}

// whole returns a count of the schema, or otherwise.
func whole(value any, otherwise int) int {
	if n, ok := value.(json.Number); ok {
		if f, err := n.Float64(); err == nil {
			return int(f)
		}
	}
	return otherwise
}

// object returns the members of an object in braces.
func (g *generator) object(s map[string]any, indent string) string {
	members, _ := s["properties"].(map[string]any)
	required := make(map[string]bool)
	if list, ok := s["required"].([]any); ok {
		for _, name := range list {
			if name, ok := name.(string); ok {
				required[name] = true
			}
		}
	}
	names := make(map[string]any, len(members)+len(required))
	maps.Copy(names, members)
	additional, open := s["additionalProperties"]
	for name := range required {
		if _, ok := names[name]; !ok {
			names[name] = additional // nil when nothing is said of it
		}
	}
	inner := indent + "  "
	var b strings.Builder
	var all []expression // of what the members are
	for _, name := range slices.Sorted(maps.Keys(names)) {
		member, _ := names[name].(map[string]any)
		e := g.expression(names[name], inner)
		all = append(all, e)
		b.WriteString(comment(documentation(member, ""), inner))
		b.WriteString(inner)
		if member["readOnly"] == true {
			b.WriteString("readonly ")
		}
		b.WriteString(key(name))
		if !required[name] {
			b.WriteByte('?')
			all = append(all, expression{text: "undefined"})
		}
		fmt.Fprintf(&b, ": %s;\n", e.text)
	}
	if rest, ok := g.rest(s, inner, open, len(names) == 0); ok {
		// TypeScript wants the members to be what any name may be.
		fmt.Fprintf(&b, "%s[name: string]: %s;\n", inner, combine(" | ", "never", append([]expression{rest}, all...)).text)
	}
	if b.Len() == 0 {
		return "{}"
	}
	return "{\n" + b.String() + indent + "}"
}

// rest returns what members may be that have no name in the schema; ok is false when nothing is to be said of them. An
// object that is open because its schema says nothing is written closed, so that a misspelt member is found.
func (g *generator) rest(s map[string]any, indent string, told, nameless bool) (rest expression, ok bool) {
	var each []expression
	if patterns, ok := s["patternProperties"].(map[string]any); ok {
		for _, p := range slices.Sorted(maps.Keys(patterns)) {
			each = append(each, g.expression(patterns[p], indent))
		}
	}
	additional := s["additionalProperties"]
	switch {
	case told && additional != false:
		each = append(each, g.expression(additional, indent))
	case told && len(each) == 0:
		return expression{text: "never"}, nameless
	case !told && nameless && len(each) == 0:
		each = append(each, expression{text: "unknown"})
	}
	return combine(" | ", "never", each), len(each) > 0
}
