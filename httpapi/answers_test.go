package httpapi

import (
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/roxyhub/roxy/limit"
)

// Each successful answer, byte for byte, in the order that they were asked for.
func TestAnswers(t *testing.T) {
	s := open(t, limit.Options{PublishRate: -1, PublishTenantRate: -1}, nil)
	structured := strings.Replace(structuredWith(`"data":{"n":1}`), `"a"`, `"orders/1"`, 1)
	for _, step := range []struct {
		name string
		call call
	}{
		{"one event", call{http.MethodPost, "/v1/events", nil, `{"topic":"orders/1","type":"order:new","data":{"n":1}}`}},
		{"an array", call{http.MethodPost, "/v1/events", nil, `[{"topic":"orders/1","id":"a"},{"topic":"orders/2"}]`}},
		{"a repeat", call{http.MethodPost, "/v1/events", nil, `[{"topic":"orders/1","id":"a"}]`}},
		{"a repeat by header", call{http.MethodPost, "/v1/events", map[string]string{"Idempotency-Key": `"a"`}, `{"topic":"orders/1"}`}},
		{"ephemeral", call{http.MethodPost, "/v1/events", nil, `{"topic":"orders/1","ephemeral":true,"id":"typing"}`}},
		{"ephemeral without a key", call{http.MethodPost, "/v1/events", nil, `{"topic":"orders/1","ephemeral":true}`}},
		{"some ephemeral", call{http.MethodPost, "/v1/events", nil, `[{"topic":"orders/1","ephemeral":true,"id":"e"},{"topic":"orders/1"}]`}},
		{"a key to be escaped", call{http.MethodPost, "/v1/events", nil, `{"topic":"orders/1","id":"\"ö\\"}`}},
		{"a structured CloudEvent", call{http.MethodPost, "/v1/events", map[string]string{"Content-Type": "application/cloudevents+json; charset=utf-8"}, structured}},
		{"a batch of CloudEvents", call{http.MethodPost, "/v1/events", map[string]string{"Content-Type": "application/cloudevents-batch+json"}, "[" + structured + "]"}},
		{"a binary CloudEvent", call{http.MethodPost, "/v1/events", map[string]string{
			"ce-specversion": "1.0", "ce-id": "2", "ce-source": "/till", "ce-type": "t", "ce-subject": "orders/1", "Content-Type": "text/plain",
		}, "two beers"}},
		{"a ping", call{path: "/v1/ping?t=1732380000.123", header: map[string]string{"Authorization": ""}}},
		{"a bare ping", call{path: "/v1/ping", header: map[string]string{"Authorization": ""}}},
		{"a ping by HEAD", call{method: http.MethodHead, path: "/v1/ping"}},
		{"a ticket", call{method: http.MethodPost, path: "/v1/tickets"}},
		{"the methods of events", call{method: http.MethodOptions, path: "/v1/events"}},
		{"the methods of ping", call{method: http.MethodOptions, path: "/v1/ping"}},
		{"the head of a stream", call{method: http.MethodHead, path: "/v1/stream?topic=orders/*"}},
	} {
		t.Run(step.name, func(t *testing.T) {
			golden(t, filepath.Join("testdata", "answers", strings.ReplaceAll(step.name, " ", "-")+".http"), s.answer(t, step.call))
		})
	}
}
