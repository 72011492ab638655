package httpapi

import (
	"net/http"
	"strings"
	"testing"

	"github.com/roxyhub/roxy/limit"
)

// theSchemas are those of an application, one of which refers to another.
func theSchemas() []Schema {
	return []Schema{
		{Name: "money.json", Text: []byte(`{"type":"integer","minimum":0}`)},
		{Name: "order.json", Entity: "orders/*", Text: []byte(`{
			"$schema":"https://json-schema.org/draft/2020-12/schema","title":"Order","x-topic":"orders/*","type":"object",
			"$id":"https://bar.example/order.json","properties":{"status":{"$ref":"#/$defs/status"},"total":{"$ref":"money.json"},"default":{"$ref":"./money.json#"},
			"note":{"const":{"$ref":"money.json"}}},"required":["status"],"$defs":{"status":{"enum":["new","ready"]}}
		}`)},
		{Name: "order-new.json", Events: []string{"order:new", "order.new"}, Text: []byte(`{"type":"object","properties":{"price":{"$ref":"money.json"}},"required":["price"]}`)},
	}
}

func withSchemas(o *Options) { o.Schemas = theSchemas }

func TestTheApplicationsSchemasAppearInTheDocuments(t *testing.T) {
	s := open(t, limit.Options{}, withSchemas)
	openapi, asyncapi := s.openapi(t), s.asyncapi(t)
	for _, tt := range []struct {
		in    *contract
		place string
		value string
		fits  bool
	}{
		{openapi, "/components/schemas/order.json", `{"status":"new","total":7}`, true},
		{openapi, "/components/schemas/order.json", `{"status":"lost"}`, false},
		{openapi, "/components/schemas/order.json", `{"status":"new","total":-7}`, false},
		{openapi, "/components/schemas/order.json", `{"status":"new","default":-7}`, false},
		{openapi, "/components/schemas/order.json", `{"status":"new","note":{"$ref":"money.json"}}`, true},
		{openapi, "/components/schemas/EntityData/anyOf/0", `{"status":"lost"}`, false},
		{openapi, "/components/schemas/EntityData", `{"of":"another topic"}`, true},
		{openapi, "/components/schemas/EntityData", `7`, false},
		{openapi, "/components/schemas/EventData/anyOf/0", `{"price":-1}`, false},
		{asyncapi, "/components/messages/event.order.new/payload", `{"topic":"orders/1","time":"2026-11-24T19:00:00Z","data":{"price":1}}`, true},
		{asyncapi, "/components/messages/event.order.new/payload", `{"topic":"orders/1","time":"2026-11-24T19:00:00Z","data":{"price":-1}}`, false},
		{asyncapi, "/components/messages/event.order.new-2/payload", `{"topic":"orders/1","time":"2026-11-24T19:00:00Z","data":{}}`, false},
	} {
		if err := tt.in.fits(t, pointer(tt.place), tt.value); (err == nil) != tt.fits {
			t.Errorf("%s at %s: %v", tt.value, tt.place, err)
		}
	}
	for place, want := range map[string]string{"/components/messages/event.order.new/name": "order:new", "/channels/topic/messages/event.order.new-2/name": "order.new"} {
		if got, _ := asyncapi.look(pointer(place)); got != want {
			t.Errorf("%s is %v, want %s", place, got, want)
		}
	}
}

// A client that keeps a document learns by its tag that there is another.
func TestTheDocumentsChangeWithTheSchemas(t *testing.T) {
	schemas := theSchemas()
	s := open(t, limit.Options{}, func(o *Options) { o.Schemas = func() []Schema { return schemas } })
	ask := func(path, tag string) answer {
		return s.ask(t, call{path: path, header: map[string]string{"If-None-Match": tag}})
	}
	for _, path := range []string{"/v1/openapi.json", "/v1/asyncapi.json"} {
		schemas = theSchemas()
		first := ask(path, "")
		tag := first.header.Get("ETag")
		if got := ask(path, tag); got.status != http.StatusNotModified || got.body != "" {
			t.Errorf("%s: the same again: %d", path, got.status)
		}
		schemas = theSchemas()[:2]
		if got := ask(path, tag); got.status != http.StatusOK || got.header.Get("ETag") == tag || got.body == first.body {
			t.Errorf("%s: with other schemas: %d %s", path, got.status, got.header.Get("ETag"))
		}
		if got := first.header.Get("Cache-Control"); got != "no-cache" {
			t.Errorf("%s: Cache-Control: %s", path, got)
		}
	}
}

func TestTheDocumentsTellTheApplicationsSchemasOnlyToWhoIsKnown(t *testing.T) {
	s := open(t, limit.Options{}, withSchemas)
	for _, path := range []string{"/v1/openapi.json", "/v1/asyncapi.json"} {
		known := s.ask(t, call{path: path})
		for _, token := range []string{"", "Bearer nonsense"} {
			stranger := s.ask(t, call{path: path, header: map[string]string{"Authorization": token}})
			if stranger.status != http.StatusOK || strings.Contains(stranger.body, "order.json") {
				t.Errorf("%s: %q is told of schemas, or refused: %d", path, token, stranger.status)
			}
			if !strings.Contains(known.body, "order.json") || known.header.Get("ETag") == stranger.header.Get("ETag") {
				t.Errorf("%s: who is known is told no more", path)
			}
		}
	}
}

func TestASchemaThatIsNoObjectIsRefusedAtTheStart(t *testing.T) {
	s := open(t, limit.Options{}, nil)
	_, err := New(Options{Hub: s.hub, Limits: limit.New(limit.Options{}), Schemas: func() []Schema { return []Schema{{Name: "broken.json", Text: []byte(`[]`)}} }})
	if err == nil {
		t.Fatal("taken")
	}
}

func TestTheDocumentsTellTheLimitsInForce(t *testing.T) {
	s := open(t, limit.Options{}, func(o *Options) { o.MaxBatch, o.MaxTopicsPerStream, o.MaxEventBytes = 3, 2, 1000 })
	openapi := s.openapi(t)
	const parameters = "/paths/~1v1~1stream/get/parameters"
	list, _ := openapi.look(parameters)
	topic := asList(list)[0].(map[string]any)["schema"].(map[string]any)
	if got := topic["maxItems"]; number(got) != "2" {
		t.Errorf("patterns: %v", got)
	}
	for place, want := range map[string]string{
		"/paths/~1v1~1mutations~1status/post/requestBody/content/application~1json/schema/properties/ids/maxItems": "3",
		"/components/schemas/Event/description":            "One immutable message on one topic; at most 1000 bytes.",
		"/components/schemas/Problem/properties/code/enum": "",
	} {
		got, _ := openapi.look(pointer(place))
		if want == "" {
			if len(asList(got)) != len(table()) {
				t.Errorf("%s: %v", place, got)
			}
			continue
		}
		if number(got) != want {
			t.Errorf("%s: %v, want %s", place, got, want)
		}
	}
}
