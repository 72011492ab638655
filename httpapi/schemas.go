package httpapi

import (
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

// applicationSchemas returns the application's schemas. Each is a resource of its own, at its name: so what it says of
// itself (#/$defs/…) and of its neighbours (money.json) leads where it did in its folder.
func (f *filling) applicationSchemas() ([]member, error) {
	members := make([]member, len(f.schemas))
	for i := range f.schemas {
		s := &f.schemas[i]
		var schema map[string]jsontext.Value
		if err := json.Unmarshal(s.Text, &schema); err != nil {
			return nil, fmt.Errorf("schema %s: %w", s.Name, err)
		}
		if schema["$id"] == nil {
			schema["$id"] = asJSON("schemas/" + s.Name)
		}
		members[i] = member{s.Name, asJSON(schema)}
	}
	return members, nil
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
