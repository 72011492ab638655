package httpapi

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// componentSchemas returns the schemas of a filled document.
func componentSchemas(document []byte) (map[string]jsontext.Value, error) {
	var d struct {
		Components struct {
			Schemas map[string]jsontext.Value `json:"schemas"`
		} `json:"components"`
	}
	err := json.Unmarshal(document, &d)
	return d.Components.Schemas, err
}

// take returns the schemas of the other document that are asked for.
func (f *filling) take(asked jsontext.Value) ([]member, error) {
	var names []string
	if err := json.Unmarshal(asked, &names); err != nil {
		return nil, err
	}
	members := make([]member, len(names))
	for i, name := range names {
		value, ok := f.shared[name]
		if !ok {
			return nil, fmt.Errorf("openapi.json has no schema %q", name)
		}
		members[i] = member{name, value}
	}
	return members, nil
}

// applicationSchemas returns the application's schemas, at the names of their files.
func (f *filling) applicationSchemas() ([]member, error) {
	members := make([]member, len(f.schemas))
	for i := range f.schemas {
		s := &f.schemas[i]
		var out bytes.Buffer
		e, d := jsontext.NewEncoder(&out), jsontext.NewDecoder(bytes.NewReader(s.Text))
		if d.PeekKind() != '{' {
			return nil, fmt.Errorf("schema %s is no JSON object", s.Name)
		}
		if err := (&moving{f.schemas, s.Name}).value(e, d, keywords); err != nil {
			return nil, fmt.Errorf("schema %s: %w", s.Name, err)
		}
		members[i] = member{s.Name, bytes.TrimSpace(out.Bytes())}
	}
	return members, nil
}

// moving copies a schema from its folder into a document. Its references lead to where its neighbours and its own parts
// are now; it has no $id any more, with which they could stay as they were, because few tools know what that means.
type moving struct {
	schemas []Schema
	name    string
}

// inside is what the members of an object within a schema are.
type inside int

const (
	keywords inside = iota
	names           // of schemas
	literals        // not for us to understand
)

func (m *moving) value(e *jsontext.Encoder, d *jsontext.Decoder, in inside) error {
	kind := d.PeekKind()
	if err := pass(e, d); err != nil || kind != '{' && kind != '[' {
		return err
	}
	for kind == '[' && d.PeekKind() != ']' {
		if err := m.value(e, d, in); err != nil {
			return err
		}
	}
	for kind == '{' && d.PeekKind() != '}' {
		if err := m.member(e, d, in); err != nil {
			return err
		}
	}
	return pass(e, d)
}

func (m *moving) member(e *jsontext.Encoder, d *jsontext.Decoder, in inside) error {
	token, err := d.ReadToken()
	if err != nil {
		return err
	}
	name := token.String()
	if name == "$id" && e.StackDepth() == 1 {
		return d.SkipValue()
	}
	if err := e.WriteToken(jsontext.String(name)); err != nil {
		return err
	}
	if in == keywords && name == "$ref" && d.PeekKind() == '"' {
		token, err := d.ReadToken()
		if err != nil {
			return err
		}
		return e.WriteToken(jsontext.String(m.moved(token.String())))
	}
	below := in
	switch in {
	case names:
		below = keywords
	case keywords:
		switch name {
		case "properties", "patternProperties", "$defs", "definitions", "dependentSchemas":
			below = names
		case "const", "enum", "default", "examples":
			below = literals
		}
	case literals:
	}
	return m.value(e, d, below)
}

// moved returns where a reference leads now.
func (m *moving) moved(ref string) string {
	file, place, _ := strings.Cut(ref, "#")
	if place != "" && place[0] != '/' {
		return ref // to an anchor
	}
	file = strings.TrimPrefix(file, "./")
	if file == "" {
		file = m.name
	}
	for i := range m.schemas {
		if m.schemas[i].Name == file {
			return "#/components/schemas/" + file + place
		}
	}
	return ref
}

// references returns anyOf with a reference to each schema that is chosen, and with what no schema speaks of; nothing
// when none is chosen. It is not oneOf: a value may fit several schemas, and a part of an entity fits none as a whole.
func (f *filling) references(chosen func(*Schema) bool) []member {
	var refs []any
	for i := range f.schemas {
		if s := &f.schemas[i]; chosen(s) {
			refs = append(refs, reference("schemas/"+s.Name))
		}
	}
	if refs == nil {
		return nil
	}
	return []member{{"anyOf", asJSON(append(refs, object{"title": "What no schema speaks of"}))}}
}

// messages returns a message for each type of event that has a schema, or references to them.
func (f *filling) messages(define bool) []member {
	var members []member
	taken := make(map[string]bool)
	for i := range f.schemas {
		for _, event := range f.schemas[i].Events {
			key := componentKey(event, taken)
			if !define {
				members = append(members, member{key, asJSON(reference("messages/" + key))})
				continue
			}
			members = append(members, member{key, asJSON(object{
				"name": event, "summary": "A published event whose data " + f.schemas[i].Name + " holds.",
				"headers": reference("schemas/Fields"),
				"payload": object{"allOf": []any{
					reference("schemas/PublishedEvent"),
					object{"properties": object{"data": reference("schemas/" + f.schemas[i].Name)}},
				}},
			})})
		}
	}
	return members
}

// componentKey spells the type of an event as the name of a component, which has fewer characters to choose from.
func componentKey(event string, taken map[string]bool) string {
	key := "event." + strings.Map(func(r rune) rune {
		if r < 0x80 && strings.ContainsRune("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-", r) {
			return r
		}
		return '.'
	}, event)
	for n, base := 2, key; taken[key]; n++ {
		key = base + "-" + strconv.Itoa(n)
	}
	taken[key] = true
	return key
}
