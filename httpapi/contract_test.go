package httpapi

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

// contract is one of the documents that a running hub serves of itself.
type contract struct {
	doc      map[string]any
	compiler *jsonschema.Compiler
}

const contractURL = "https://hub.example/contract.json"

func (s *site) openapi(t *testing.T) *contract {
	t.Helper()
	return s.contract(t, "/v1/openapi.json", jsonschema.Draft2020)
}

func (s *site) asyncapi(t *testing.T) *contract {
	t.Helper()
	return s.contract(t, "/v1/asyncapi.json", jsonschema.Draft7)
}

// contract fetches a document, whose schemas are of the draft.
func (s *site) contract(t *testing.T, path string, draft *jsonschema.Draft) *contract {
	t.Helper()
	resp := s.do(t, call{path: path}) //nolint:bodyclose // with the test
	doc, err := jsonschema.UnmarshalJSON(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s, %v", path, resp.Status, err)
	}
	c := &contract{doc: doc.(map[string]any), compiler: jsonschema.NewCompiler()}
	c.compiler.DefaultDraft(draft)
	c.compiler.AssertFormat()
	closed := clone(t, doc)
	closeObjects(closed)
	if err := c.compiler.AddResource(contractURL, closed); err != nil {
		t.Fatal(err)
	}
	return c
}

func clone(t *testing.T, doc any) any {
	t.Helper()
	text, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	again, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return again
}

// closeObjects has every schema of an object refuse what it does not list. The document leaves its answers open, because a
// later hub may say more; this one says nothing that its document does not tell of.
func closeObjects(node any) {
	switch node := node.(type) {
	case map[string]any:
		_, listed := node["properties"]
		_, decided := node["additionalProperties"]
		if node["type"] == "object" && listed && !decided {
			node["additionalProperties"] = false
		}
		for _, child := range node {
			closeObjects(child)
		}
	case []any:
		for _, child := range node {
			closeObjects(child)
		}
	}
}

// look returns what stands at a place, references followed, and the place that they lead to; nil when there is nothing.
func (c *contract) look(place jsontext.Pointer) (any, jsontext.Pointer) {
	var node any = c.doc
	at := jsontext.Pointer("")
	for token := range place.Tokens() {
		object, _ := node.(map[string]any)
		if node = object[token]; node == nil {
			return nil, place
		}
		at = at.AppendToken(token)
		if object, ok := node.(map[string]any); ok {
			if ref, ok := object["$ref"].(string); ok && len(object) == 1 {
				node, at = c.look(jsontext.Pointer(strings.TrimPrefix(ref, "#")))
			}
		}
	}
	return node, at
}

// schema compiles the one at a place.
func (c *contract) schema(t *testing.T, place jsontext.Pointer) *jsonschema.Schema {
	t.Helper()
	at := url.URL{Fragment: string(place)}
	schema, err := c.compiler.Compile(contractURL + "#" + at.EscapedFragment())
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

// fits reports how value breaks the schema at a place; nil when it does not.
func (c *contract) fits(t *testing.T, place jsontext.Pointer, value string) error {
	t.Helper()
	instance, err := jsonschema.UnmarshalJSON(strings.NewReader(value))
	if err != nil {
		return err
	}
	return c.schema(t, place).Validate(instance)
}

// operation is METHOD /path, as documents spell it.
type operation string

func (o operation) place() jsontext.Pointer {
	method, path, _ := strings.Cut(string(o), " ")
	return jsontext.Pointer("/paths").AppendToken(path).AppendToken(strings.ToLower(method))
}

// operations returns them all, sorted.
func (c *contract) operations() []operation {
	var all []operation
	for path, item := range c.doc["paths"].(map[string]any) {
		for name := range item.(map[string]any) {
			if name != "parameters" {
				all = append(all, operation(strings.ToUpper(name)+" "+path))
			}
		}
	}
	return slices.Sorted(slices.Values(all))
}

// codes returns those that a response lists.
func (c *contract) codes(response jsontext.Pointer) []string {
	list, _ := c.look(response + "/content/application~1problem+json/schema/properties/code/enum")
	var all []string
	for _, code := range asList(list) {
		all = append(all, code.(string))
	}
	return all
}

// number returns a number or string of a document as text.
func number(v any) string { return fmt.Sprint(v) }

func pointer(s string) jsontext.Pointer { return jsontext.Pointer(s) }

func asList(v any) []any {
	list, _ := v.([]any)
	return list
}

// answer is what a hub said to a call; the body of what has no end is "".
type answer struct {
	status int
	header http.Header
	body   string
}

func (s *site) ask(t *testing.T, c call) answer {
	t.Helper()
	resp := s.do(t, c)
	a := answer{status: resp.StatusCode, header: resp.Header}
	if media, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")); media == "text/event-stream" || a.status == http.StatusSwitchingProtocols {
		_ = resp.Body.Close()
		return a
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	a.body = string(body)
	return a
}

// holds reports how an answer differs from what the responses at a place tell of it.
func (c *contract) holds(t *testing.T, responses jsontext.Pointer, a answer) error {
	t.Helper()
	found, place := c.look(responses.AppendToken(strconv.Itoa(a.status)))
	if found == nil {
		return fmt.Errorf("%s has no status %d", responses, a.status)
	}
	response := found.(map[string]any)
	if content, ok := response["content"].(map[string]any); ok {
		media, _, _ := mime.ParseMediaType(a.header.Get("Content-Type"))
		if content[media] == nil {
			return fmt.Errorf("%s has no media type %q", place, media)
		}
		if !strings.HasPrefix(media, "text/") { // a schema is for JSON
			if err := c.fits(t, place+"/content"+jsontext.Pointer("").AppendToken(media)+"/schema", a.body); err != nil {
				return fmt.Errorf("%w: %s", err, a.body)
			}
		}
	} else if a.body != "" {
		return fmt.Errorf("%s has no body: %s", place, a.body)
	}
	return c.holdsHeaders(t, place, a.header)
}

// holdsHeaders does that for the header fields. Those of HTTP itself need no telling.
func (c *contract) holdsHeaders(t *testing.T, response jsontext.Pointer, header http.Header) error {
	t.Helper()
	ordinary := []string{
		"Cache-Control", "Connection", "Content-Length", "Content-Type", "Date", "Sec-Websocket-Accept", "Sec-Websocket-Version", "Upgrade", "Vary", "X-Content-Type-Options",
	}
	told := make(map[string]jsontext.Pointer)
	if list, at := c.look(response + "/headers"); list != nil {
		for name := range list.(map[string]any) {
			_, place := c.look(at.AppendToken(name))
			told[http.CanonicalHeaderKey(name)] = place
		}
	}
	for _, name := range slices.Sorted(maps.Keys(header)) {
		place, ok := told[name]
		switch {
		case ok:
			value := strconv.Quote(header.Get(name))
			if strings.Trim(header.Get(name), "0123456789") == "" {
				value = header.Get(name)
			}
			if err := c.fits(t, place+"/schema", value); err != nil {
				return fmt.Errorf("header %s: %w", name, err)
			}
		case !slices.Contains(ordinary, name):
			return fmt.Errorf("%s tells nothing of the header %s", response, name)
		}
	}
	return nil
}

// takes reports how the body of a call differs from what the operation says that it takes.
func (c *contract) takes(t *testing.T, o operation, sent call) error {
	t.Helper()
	content, place := c.look(o.place() + "/requestBody/content")
	if content == nil {
		if sent.body != "" {
			return fmt.Errorf("%s takes no body", o)
		}
		return nil
	}
	media := sent.header["Content-Type"]
	if media == "" {
		media = "application/json"
	}
	body := sent.body
	if media == "text/plain" {
		body = strconv.Quote(body)
	}
	if content.(map[string]any)[media] == nil {
		return fmt.Errorf("%s takes no %s", o, media)
	}
	return c.fits(t, place.AppendToken(media)+"/schema", body)
}

func TestTheDocumentsAreValid(t *testing.T) {
	s := open(t, noLimits(), withSchemas)
	for file, c := range map[string]*contract{"openapi-3.1.json": s.openapi(t), "asyncapi-3.0.json": s.asyncapi(t)} {
		text, err := os.Open(filepath.Join("testdata", "specifications", file))
		if err != nil {
			t.Fatal(err)
		}
		specification, err := jsonschema.UnmarshalJSON(text)
		_ = text.Close()
		if err != nil {
			t.Fatal(err)
		}
		compiler := jsonschema.NewCompiler()
		if err := compiler.AddResource(file, specification); err != nil {
			t.Fatal(err)
		}
		schema, err := compiler.Compile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := schema.Validate(clone(t, c.doc)); err != nil {
			t.Errorf("%s: %v", file, err)
		}
		for name := range c.doc["components"].(map[string]any)["schemas"].(map[string]any) {
			c.schema(t, jsontext.Pointer("/components/schemas").AppendToken(name))
		}
		everyReferenceLeadsSomewhere(t, c, c.doc, "")
	}
}

// everyReferenceLeadsSomewhere looks below node.
func everyReferenceLeadsSomewhere(t *testing.T, c *contract, node any, at jsontext.Pointer) {
	t.Helper()
	switch node := node.(type) {
	case map[string]any:
		if ref, ok := node["$ref"].(string); ok {
			if found, _ := c.look(jsontext.Pointer(strings.TrimPrefix(ref, "#"))); found == nil {
				t.Errorf("%s: nothing is at %s", at, ref)
			}
		}
		for name, child := range node {
			if name == "const" {
				continue
			}
			if strings.HasPrefix(name, "x-") && name != "x-topic" {
				t.Errorf("%s: the mark %s was not filled in", at, name)
			}
			everyReferenceLeadsSomewhere(t, c, child, at.AppendToken(name))
		}
	case []any:
		for i, child := range node {
			everyReferenceLeadsSomewhere(t, c, child, at.AppendToken(strconv.Itoa(i)))
		}
	case string:
		if strings.HasPrefix(node, "$") || strings.Contains(node, "$max") {
			t.Errorf("%s: %q was not filled in", at, node)
		}
	}
}
