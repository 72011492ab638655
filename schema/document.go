package schema

import (
	"cmp"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// target is a place that $ref leads to: a file and a JSON Pointer in it, "" for the whole.
type target struct{ file, pointer string }

// Type is a schema that has a name in TypeScript: a file, what is below its $defs, and whatever else a $ref leads to.
type Type struct {
	Name    string
	File    string
	Pointer string // into the file; "" for the whole
	Schema  any    // as JSON: an object or a boolean
}

// Types returns all types by name.
func (s *Set) Types() []Type {
	if s == nil {
		return nil
	}
	return slices.Clone(s.types)
}

// Resolve returns where a $ref in file leads: a file and a JSON Pointer in it.
func Resolve(file, ref string) (string, string) {
	name, fragment, _ := strings.Cut(ref, "#")
	name = strings.TrimPrefix(name, "./")
	if name == "" {
		name = file
	}
	if pointer, err := url.PathUnescape(fragment); err == nil {
		fragment = pointer
	}
	return name, fragment
}

// walk calls visit for schema and all schemas in it, with their pointers, sorted. It goes into keywords alone: what
// stands in const, enum, default and examples is data.
func walk(schema any, pointer string, visit func(s map[string]any, pointer string)) {
	s, ok := schema.(map[string]any)
	if !ok {
		return
	}
	visit(s, pointer)
	for _, keyword := range slices.Sorted(maps.Keys(s)) {
		at := pointer + "/" + escape(keyword)
		switch keyword {
		case "properties", "patternProperties", "$defs", "definitions", "dependentSchemas":
			if members, ok := s[keyword].(map[string]any); ok {
				for _, name := range slices.Sorted(maps.Keys(members)) {
					walk(members[name], at+"/"+escape(name), visit)
				}
			}
		case "allOf", "anyOf", "oneOf", "prefixItems":
			if list, ok := s[keyword].([]any); ok {
				for i, element := range list {
					walk(element, at+"/"+strconv.Itoa(i), visit)
				}
			}
		case "not", "if", "then", "else", "items", "contains", "additionalProperties", "propertyNames",
			"unevaluatedItems", "unevaluatedProperties", "contentSchema":
			walk(s[keyword], at, visit)
		}
	}
}

// references checks the keywords that lead elsewhere, and remembers where.
func (l *loader) references(file string) {
	if l.targets == nil {
		l.targets = make(map[target]bool)
	}
	walk(l.documents[file], "", func(s map[string]any, pointer string) {
		if draft, ok := s["$schema"]; ok && draft != Draft && draft != Draft+"#" {
			l.fail(file, pointer+"/$schema", "only JSON Schema 2020-12 is read: write %s, or leave $schema out", Draft)
		}
		for keyword, instead := range map[string]string{
			"$id":            "files are known by their names: remove it",
			"$anchor":        "refer to a place by its pointer, such as #/$defs/line",
			"$dynamicAnchor": "refer to a place by its pointer, such as #/$defs/line",
			"$dynamicRef":    "use $ref",
			"$recursiveRef":  "it is of an older draft: use $ref",
		} {
			if _, ok := s[keyword]; ok {
				l.fail(file, pointer+"/"+keyword, "%s is not read: %s", keyword, instead)
			}
		}
		if ref, ok := s["$ref"]; ok {
			l.reference(file, pointer+"/$ref", ref)
		}
	})
}

func (l *loader) reference(file, pointer string, value any) {
	ref, ok := value.(string)
	if !ok {
		l.fail(file, pointer, "want a reference such as \"money.json\" or \"#/$defs/line\"")
		return
	}
	if u, err := url.Parse(ref); err != nil || u.Scheme != "" || u.Host != "" || strings.HasPrefix(ref, "/") {
		l.fail(file, pointer, "%q leads out of the folder, and nothing is ever fetched: copy the schema into the folder and refer to it by its file's name", ref)
		return
	}
	name, inside := Resolve(file, ref)
	document, ok := l.documents[name]
	if !ok {
		l.fail(file, pointer, "%q leads nowhere: there is no good %s in the folder", ref, name)
		return
	}
	if inside != "" && inside[0] != '/' {
		l.fail(file, pointer, "%q: anchors are not read: refer to a place by its pointer, such as #/$defs/line", ref)
		return
	}
	if _, ok := lookup(document, inside); !ok {
		l.fail(file, pointer, "%q leads nowhere: %s has no schema at %s", ref, name, inside)
		return
	}
	l.targets[target{name, inside}] = true
}

// endless finds schemas that come back to themselves without going into the value: nothing could ever be decided by them.
func (l *loader) endless() {
	state := make(map[target]int) // 1 while it is looked at, 2 afterwards
	var look func(t target)
	look = func(t target) {
		state[t] = 1
		s, _ := lookup(l.documents[t.file], t.pointer)
		samePlace(s, t.pointer, func(pointer, ref string) {
			name, inside := Resolve(t.file, ref)
			next := target{name, inside}
			switch state[next] {
			case 0:
				look(next)
			case 1:
				l.fail(t.file, pointer+"/$ref", "%q comes back to itself without going into the value: no value could be checked against it", ref)
			}
		})
		state[t] = 2
	}
	for _, t := range slices.SortedFunc(maps.Keys(l.targets), compareTargets) {
		if state[t] == 0 {
			look(t)
		}
	}
}

func compareTargets(a, b target) int {
	return cmp.Or(strings.Compare(a.file, b.file), strings.Compare(a.pointer, b.pointer))
}

// samePlace calls visit for each $ref that schema applies to the very value it is applied to.
func samePlace(schema any, pointer string, visit func(pointer, ref string)) {
	s, ok := schema.(map[string]any)
	if !ok {
		return
	}
	if ref, ok := s["$ref"].(string); ok {
		visit(pointer, ref)
	}
	for _, keyword := range []string{"not", "if", "then", "else"} {
		samePlace(s[keyword], pointer+"/"+keyword, visit)
	}
	for _, keyword := range []string{"allOf", "anyOf", "oneOf"} {
		list, _ := s[keyword].([]any)
		for i, of := range list {
			samePlace(of, pointer+"/"+keyword+"/"+strconv.Itoa(i), visit)
		}
	}
	dependent, _ := s["dependentSchemas"].(map[string]any)
	for _, name := range slices.Sorted(maps.Keys(dependent)) {
		samePlace(dependent[name], pointer+"/dependentSchemas/"+escape(name), visit)
	}
}

// lookup returns the schema at pointer.
func lookup(document map[string]any, pointer string) (any, bool) {
	var at any = document
	if pointer != "" {
		for token := range strings.SplitSeq(pointer[1:], "/") {
			token = strings.ReplaceAll(strings.ReplaceAll(token, "~1", "/"), "~0", "~")
			switch v := at.(type) {
			case map[string]any:
				member, ok := v[token]
				if !ok {
					return nil, false
				}
				at = member
			case []any:
				i, err := strconv.Atoi(token)
				if err != nil || i < 0 || i >= len(v) {
					return nil, false
				}
				at = v[i]
			default:
				return nil, false
			}
		}
	}
	switch at.(type) {
	case map[string]any, bool:
		return at, true
	}
	return nil, false
}

// taken are names that a generated file uses itself.
var taken = []string{"RoxyEvents", "RoxyEntities", "Record", "Array"}

// types names what has a name in TypeScript, and sets the types of files.
func (l *loader) types(files []File) []Type {
	var all []Type
	for i := range files {
		f := &files[i]
		document := l.documents[f.Name]
		f.Type = l.typeName(f.Name, "", document, "", strings.TrimSuffix(f.Name, ".json"))
		all = append(all, Type{Name: f.Type, File: f.Name, Schema: document})
		if defs, ok := document["$defs"].(map[string]any); ok {
			for name := range defs {
				l.targets[target{f.Name, "/$defs/" + escape(name)}] = true
			}
		}
		for _, t := range slices.SortedFunc(maps.Keys(l.targets), compareTargets) {
			if t.file != f.Name || t.pointer == "" {
				continue
			}
			if s, ok := lookup(document, t.pointer); ok {
				_, inner, _ := strings.Cut(strings.TrimPrefix(t.pointer, "/$defs"), "/")
				all = append(all, Type{Name: l.typeName(f.Name, t.pointer, s, f.Type, inner), File: f.Name, Pointer: t.pointer, Schema: s})
			}
		}
	}
	slices.SortStableFunc(all, func(a, b Type) int { return strings.Compare(a.Name, b.Name) })
	for i, t := range all {
		if t.Name == "" {
			continue
		}
		if i > 0 && all[i-1].Name == t.Name {
			l.fail(t.File, t.Pointer, "its type would be called %s in TypeScript, as that of %s#%s is: give one of them another title", t.Name, all[i-1].File, all[i-1].Pointer)
		}
		if slices.Contains(taken, t.Name) {
			l.fail(t.File, t.Pointer, "a type called %s would be in the way of the generated TypeScript: give it another title", t.Name)
		}
	}
	return all
}

// typeName returns a name for schema: its title, or what it is called where it stands, behind the name of its file.
func (l *loader) typeName(file, pointer string, schema any, within, called string) string {
	if s, ok := schema.(map[string]any); ok {
		if title, ok := s["title"]; ok {
			text, _ := title.(string)
			name := pascal(text)
			if name == "" {
				l.fail(file, pointer+"/title", "want words that a TypeScript type can be called by, such as \"Order line\": letters first, A-Z a-z 0-9")
			}
			return name
		}
	}
	if name := pascal(within + " " + called); name != "" {
		return name
	}
	l.fail(file, pointer, "no TypeScript type can be called so: give it a title such as \"Order line\"")
	return ""
}

// pascal writes words as one name: "order line" becomes OrderLine. It returns "" for what is none.
func pascal(words string) string {
	var b strings.Builder
	first := true
	for _, r := range words {
		switch {
		case r >= 'a' && r <= 'z' && first:
			b.WriteRune(unicode.ToUpper(r))
			first = false
		case r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9':
			b.WriteRune(r)
			first = false
		default:
			first = true
		}
	}
	if name := b.String(); name != "" && (name[0] < '0' || name[0] > '9') {
		return name
	}
	return ""
}

// escape writes a name as a token of a JSON Pointer.
func escape(name string) string {
	if !strings.ContainsAny(name, "~/") {
		return name
	}
	return strings.ReplaceAll(strings.ReplaceAll(name, "~", "~0"), "/", "~1")
}

// count spells n of something.
func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
