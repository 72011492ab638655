package httpapi

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/roxyhub/roxy"
)

// filling puts into a document what is known only here and now. The marks in its source are strings that hold a
// $value, and the members
//
//	"x-problems"        codes that an operation answers with: a response for each status
//	"x-preconditions"   those of them that fail by a header's guard: 412
//	"x-examples"        an example of each problem
//	"x-openapi"         names of the other document's schemas: these
//	"x-schemas"         the application's schemas
//	"x-entity-schemas"  a reference to each of those that hold entities
//	"x-event-schemas"   a reference to each of those that hold the data of events
//	"x-messages"        a message for each type of event that has a schema
//
// each of which gives way to what it stands for.
type filling struct {
	values  map[string]jsontext.Value // for $name
	text    *strings.Replacer         // the same within longer strings
	schemas []Schema
	shared  map[string]jsontext.Value // the schemas of openapi.json, once it is filled
}

// member is one member of an object.
type member struct {
	name  string
	value jsontext.Value
}

// filling returns the one for this listener.
func (a *api) filling(schemas []Schema) *filling {
	number := func(n int) jsontext.Value { return jsontext.Value(strconv.Itoa(n)) }
	codes := make([]roxy.Code, 0, len(table()))
	for _, r := range table() {
		codes = append(codes, r.code)
	}
	f := &filling{schemas: schemas, values: map[string]jsontext.Value{
		"$version":         asJSON(version()),
		"$codes":           asJSON(codes),
		"$maxEventBytes":   number(a.MaxEventBytes),
		"$maxBatch":        number(a.MaxBatch),
		"$maxBodyBytes":    number(int(a.maxBody)),
		"$maxMessageBytes": number(int(a.maxBody) + envelope),
		"$maxTopics":       number(cmp.Or(a.MaxTopicsPerStream, 64)),
		"$heartbeat":       asJSON(cmp.Or(a.Heartbeat, 15*time.Second).String()),
		"$maxEcho":         number(maxEcho),
		"$maxPage":         number(maxPage),
		"$defaultPage":     number(defaultPage),
	}}
	var pairs []string
	for name, value := range f.values {
		pairs = append(pairs, name, strings.Trim(string(value), `"`))
	}
	f.text = strings.NewReplacer(pairs...)
	return f
}

// asJSON is for values that cannot fail to encode.
func asJSON(v any) jsontext.Value {
	text, err := json.Marshal(v, json.Deterministic(true))
	if err != nil {
		panic("BUG: a part of a document does not encode: " + err.Error())
	}
	return text
}

// fill returns the document that source stands for. The order of members is the source's.
func (f *filling) fill(source []byte) ([]byte, error) {
	var out bytes.Buffer
	e, d := jsontext.NewEncoder(&out), jsontext.NewDecoder(bytes.NewReader(source))
	if err := f.value(e, d); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

func (f *filling) value(e *jsontext.Encoder, d *jsontext.Decoder) error {
	switch d.PeekKind() {
	case '{':
		return f.object(e, d)
	case '[':
		return f.array(e, d)
	case '"':
		token, err := d.ReadToken()
		if err != nil {
			return err
		}
		s := token.String()
		if value, ok := f.values[s]; ok {
			return e.WriteValue(value)
		}
		return e.WriteToken(jsontext.String(f.text.Replace(s)))
	default:
		token, err := d.ReadToken()
		if err != nil {
			return err
		}
		return e.WriteToken(token)
	}
}

func (f *filling) array(e *jsontext.Encoder, d *jsontext.Decoder) error {
	if err := pass(e, d); err != nil {
		return err
	}
	for d.PeekKind() != ']' {
		if err := f.value(e, d); err != nil {
			return err
		}
	}
	return pass(e, d)
}

func (f *filling) object(e *jsontext.Encoder, d *jsontext.Decoder) error {
	if err := pass(e, d); err != nil {
		return err
	}
	for d.PeekKind() != '}' {
		token, err := d.ReadToken()
		if err != nil {
			return err
		}
		name := token.String()
		stands, marked := f.mark(name)
		if !marked {
			if err := e.WriteToken(jsontext.String(name)); err != nil {
				return err
			}
			if err := f.value(e, d); err != nil {
				return err
			}
			continue
		}
		asked, err := d.ReadValue()
		if err != nil {
			return err
		}
		members, err := stands(asked, inMessages(e))
		if err != nil {
			return fmt.Errorf("%s: %w", d.StackPointer(), err)
		}
		for _, m := range members {
			if err := e.WriteToken(jsontext.String(m.name)); err != nil {
				return err
			}
			if err := e.WriteValue(m.value); err != nil {
				return err
			}
		}
	}
	return pass(e, d)
}

// inMessages reports whether what is written next defines messages; elsewhere they are referred to.
func inMessages(e *jsontext.Encoder) bool {
	return jsontext.Pointer("/components/messages").Contains(e.StackPointer())
}

// pass copies one token.
func pass(e *jsontext.Encoder, d *jsontext.Decoder) error {
	token, err := d.ReadToken()
	if err != nil {
		return err
	}
	return e.WriteToken(token)
}

// mark returns what makes the members that the member name stands for.
func (f *filling) mark(name string) (stands func(asked jsontext.Value, define bool) ([]member, error), marked bool) {
	switch name {
	case "x-problems":
		return func(asked jsontext.Value, _ bool) ([]member, error) { return problemResponses(asked, 0) }, true
	case "x-preconditions":
		return func(asked jsontext.Value, _ bool) ([]member, error) {
			return problemResponses(asked, http.StatusPreconditionFailed)
		}, true
	case "x-examples":
		return func(jsontext.Value, bool) ([]member, error) { return problemExamples(), nil }, true
	case "x-openapi":
		return func(asked jsontext.Value, _ bool) ([]member, error) { return f.take(asked) }, true
	case "x-schemas":
		return func(jsontext.Value, bool) ([]member, error) { return f.applicationSchemas() }, true
	case "x-entity-schemas":
		return func(jsontext.Value, bool) ([]member, error) {
			return f.references(func(s *Schema) bool { return s.Entity != "" }), nil
		}, true
	case "x-event-schemas":
		return func(jsontext.Value, bool) ([]member, error) {
			return f.references(func(s *Schema) bool { return len(s.Events) > 0 }), nil
		}, true
	case "x-messages":
		return func(_ jsontext.Value, define bool) ([]member, error) { return f.messages(define), nil }, true
	default:
		return nil, false
	}
}

// object of JSON whose members are in alphabetical order.
type object = map[string]any

func reference(to string) object { return object{"$ref": "#/components/" + to} }

// problemResponses returns a response for each status that the codes are answered with; status, when not 0, is that of
// all of them.
func problemResponses(asked jsontext.Value, status int) ([]member, error) {
	var codes []roxy.Code
	if err := json.Unmarshal(asked, &codes); err != nil {
		return nil, err
	}
	byStatus := make(map[int][]row)
	for _, code := range codes {
		row := rowOf(code)
		if row.code != code {
			return nil, fmt.Errorf("%q is no code of a problem", code)
		}
		at := cmp.Or(status, row.status)
		byStatus[at] = append(byStatus[at], row)
	}
	var members []member
	for _, status := range slices.Sorted(maps.Keys(byStatus)) {
		members = append(members, member{strconv.Itoa(status), asJSON(problemResponse(status, byStatus[status]))})
	}
	return members, nil
}

func problemResponse(status int, rows []row) object {
	var codes, titles []string
	headers, examples := object{}, object{}
	for _, r := range rows {
		codes, titles = append(codes, string(r.code)), append(titles, r.title+".")
		examples[string(r.code)] = reference("examples/" + string(r.code))
		if r.retry > 0 {
			headers["Retry-After"] = reference("headers/Retry-After")
		}
	}
	switch status {
	case http.StatusUnauthorized:
		headers["WWW-Authenticate"] = reference("headers/WWW-Authenticate")
	case http.StatusMethodNotAllowed:
		headers["Allow"] = reference("headers/Allow")
	case http.StatusTooManyRequests:
		headers["RateLimit"], headers["RateLimit-Policy"] = reference("headers/RateLimit"), reference("headers/RateLimit-Policy")
	}
	response := object{
		"description": strings.Join(titles, " "),
		"content": object{"application/problem+json": object{
			"schema": object{
				"$ref": "#/components/schemas/Problem", "properties": object{"status": object{"const": status}, "code": object{"enum": codes}},
			},
			"examples": examples,
		}},
	}
	if len(headers) > 0 {
		response["headers"] = headers
	}
	return response
}

// problemExamples returns an example of each problem, as it is told when nothing more is known.
func problemExamples() []member {
	members := make([]member, 0, len(table()))
	for _, r := range table() {
		body := describe(&roxy.Problem{Code: r.code})
		body.RetryAfter = ""
		if r.retry > 0 {
			body.RetryAfter = r.retry.String()
		}
		members = append(members, member{string(r.code), asJSON(object{"summary": r.title, "value": body})})
	}
	return members
}
