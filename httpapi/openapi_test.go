package httpapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/auth"
	"github.com/roxyhub/roxy/limit"
)

func noLimits() limit.Options {
	return limit.Options{PublishRate: -1, PublishTenantRate: -1, AttemptsPerIP: -1}
}

func TestTheDocumentHasTheRoutesAndNoOthers(t *testing.T) {
	var want []operation
	for _, r := range new(api).routes() {
		want = append(want, operation(r.method+" "+strings.ReplaceAll(r.path, "...}", "}")))
	}
	slices.Sort(want)
	if got := open(t, noLimits(), nil).openapi(t).operations(); !slices.Equal(got, want) {
		t.Errorf("the document has\n%v, the listener\n%v", got, want)
	}
}

// dialogue is one call that is answered well.
type dialogue struct {
	name      string
	operation operation
	call      call
	status    int
}

func handshake() map[string]string {
	return map[string]string{
		"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
		"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Protocol": "roxy.v1.json",
	}
}

// dialogues has one for every operation, and for every form of what it takes. connection is a live one, event the cursor
// of a critical event that the device board is to confirm.
func dialogues(connection, event string) []dialogue {
	post := func(path, body string, header ...string) call {
		c := call{method: http.MethodPost, path: path, body: body, header: make(map[string]string)}
		for i := 0; i < len(header); i += 2 {
			c.header[header[i]] = header[i+1]
		}
		return c
	}
	write := func(method, path, media, body string, header ...string) call {
		c := post(path, body, header...)
		c.method = method
		if media != "" {
			c.header["Content-Type"] = media
		}
		return c
	}
	const jsonMedia, mergeMedia = "application/json", "application/merge-patch+json"
	structured := strings.Replace(structuredWith(`"data":{"n":1}`), `"a"`, `"orders/1"`, 1)
	return []dialogue{
		{"a ticket", "POST /v1/tickets", post("/v1/tickets", ""), 200},
		{"a refresh", "POST /v1/sessions/{connection}/refresh", post("/v1/sessions/"+connection+"/refresh", ""), 200},
		{"an event", "POST /v1/events", post("/v1/events", `{"topic":"orders/1","type":"order:new","data":{"n":1},"to":{"roles":["a"],"users":["b"]},"ttl":"1m","correlation":"c","except":"d","urgent":true}`), 200},
		{"an event with a key", "POST /v1/events", post("/v1/events", `{"topic":"orders/1"}`, "Idempotency-Key", `"k"`), 200},
		{"the event again", "POST /v1/events", post("/v1/events", `{"topic":"orders/1"}`, "Idempotency-Key", "k"), 200},
		{"events", "POST /v1/events", post("/v1/events", `[{"topic":"orders/1","id":"a"},{"topic":"orders/2","ephemeral":true},{"topic":"orders/2","ephemeral":true,"id":"e"}]`), 200},
		{"a critical event", "POST /v1/events", post("/v1/events", `{"topic":"orders/1","ack":{"by":"user","within":"1h","attempts":1},"to":{"users":["u7"]}}`), 200},
		{"an ephemeral event", "POST /v1/events", post("/v1/events", `{"topic":"orders/1","ephemeral":true}`), 200},
		{"a structured CloudEvent", "POST /v1/events", post("/v1/events", structured, "Content-Type", "application/cloudevents+json"), 200},
		{"a batch of CloudEvents", "POST /v1/events", post("/v1/events", "["+structured+"]", "Content-Type", "application/cloudevents-batch+json"), 200},
		{"a binary CloudEvent", "POST /v1/events", post("/v1/events", "two beers", "Content-Type", "text/plain",
			"ce-specversion", "1.0", "ce-id", "2", "ce-source", "/till", "ce-type", "t", "ce-subject", "orders/1"), 200},
		{"an entity created", "PUT /v1/entities/{topic}", write(http.MethodPut, "/v1/entities/orders/1", jsonMedia, `{"status":"new"}`, "If-None-Match", "*"), 201},
		{"an entity created by an encoded path", "PUT /v1/entities/{topic}", write(http.MethodPut, "/v1/entities/orders%2F2", jsonMedia, `{"status":"new"}`), 201},
		{"an entity replaced", "PUT /v1/entities/{topic}", write(http.MethodPut, "/v1/entities/orders/1", jsonMedia, `{"status":"old"}`, "If-Match", `"1"`), 200},
		{"an entity patched", "PATCH /v1/entities/{topic}", write(http.MethodPatch, "/v1/entities/orders/1", mergeMedia, `{"note":"x"}`,
			"Roxy-Base", "2", "Idempotency-Key", "p", "Roxy-Device", "d", "Roxy-Seq", "1", "Roxy-Type", "order:noted", "Roxy-Correlation", "c"), 200},
		{"an entity patched again", "PATCH /v1/entities/{topic}", write(http.MethodPatch, "/v1/entities/orders/1", mergeMedia, `{"note":"x"}`,
			"Roxy-Base", "2", "Idempotency-Key", "p", "Roxy-Device", "d", "Roxy-Seq", "1", "Roxy-Type", "order:noted", "Roxy-Correlation", "c"), 200},
		{"an entity", "GET /v1/entities/{topic}", call{path: "/v1/entities/orders/1"}, 200},
		{"an entity that did not change", "GET /v1/entities/{topic}", call{path: "/v1/entities/orders/1", header: map[string]string{"If-None-Match": `"3"`}}, 304},
		{"entities", "GET /v1/entities", call{path: "/v1/entities?match=orders/*"}, 200},
		{"some entities", "GET /v1/entities", call{path: "/v1/entities?match=orders/*&limit=1"}, 200},
		{"no entities", "GET /v1/entities", call{path: "/v1/entities?match=orders/nothing"}, 200},
		{"an entity deleted", "DELETE /v1/entities/{topic}", write(http.MethodDelete, "/v1/entities/orders/1", "", "", "If-Match", "*"), 200},
		{"a mutation", "POST /v1/mutations", post("/v1/mutations", `{"id":"m-1","op":"patch","topic":"orders/2","patch":{"note":null},"guard":"fields","base":1,"device":"d","seq":2,"type":"t","correlation":"c"}`), 200},
		{"the mutation again", "POST /v1/mutations", post("/v1/mutations", `{"id":"m-1","op":"patch","topic":"orders/2","patch":{"note":null},"guard":"fields","base":1,"device":"d","seq":2,"type":"t","correlation":"c"}`), 200},
		{"mutations", "POST /v1/mutations", post("/v1/mutations", `[{"op":"put","topic":"orders/3","data":{"a":[1]},"guard":"version","base":0},{"op":"delete","topic":"orders/3"}]`), 200},
		{"a mutation cancelled", "DELETE /v1/mutations/{id}", write(http.MethodDelete, "/v1/mutations/m-2", "", ""), 200},
		{"a mutation cancelled too late", "DELETE /v1/mutations/{id}", write(http.MethodDelete, "/v1/mutations/m-1", "", ""), 200},
		{"the mutation called status cancelled", "DELETE /v1/mutations/status", write(http.MethodDelete, "/v1/mutations/status", "", ""), 200},
		{"outcomes", "POST /v1/mutations/status", post("/v1/mutations/status", `{"ids":["m-1","m-2","unknown"]}`), 200},
		{"who is present", "GET /v1/presence", call{path: "/v1/presence"}, 200},
		{"who is present at a topic", "GET /v1/presence", call{path: "/v1/presence?topic=orders/1&limit=1"}, 200},
		{"nobody", "GET /v1/presence", call{path: "/v1/presence?topic=orders/1/2"}, 200},
		{"receipts of an open event", "GET /v1/events/{cursor}/receipts", call{path: "/v1/events/" + event + "/receipts"}, 200},
		{"confirmations", "POST /v1/acks", post("/v1/acks", `{"device":"board","ids":["`+event+`","elsewhere.1"]}`), 200},
		{"an acknowledgement", "POST /v1/acks", post("/v1/acks", `{"device":"board","delivered":"`+event+`"}`), 200},
		{"both, again", "POST /v1/acks", post("/v1/acks", `{"device":"board","delivered":"`+event+`","ids":["`+event+`"]}`), 200},
		{"receipts", "GET /v1/events/{cursor}/receipts", call{path: "/v1/events/" + event + "/receipts"}, 200},
		{"devices", "GET /v1/devices", call{path: "/v1/devices"}, 200},
		{"a device forgotten", "DELETE /v1/devices/{device}", write(http.MethodDelete, "/v1/devices/board", "", ""), 204},
		{"fewer devices", "GET /v1/devices", call{path: "/v1/devices"}, 200},
		{"a stream", "GET /v1/stream", call{path: "/v1/stream?topic=orders/*&type=message&after=earliest&device=d&heartbeat=1s"}, 200},
		{"a stream with a snapshot", "GET /v1/stream", call{path: "/v1/stream?topic=orders/*&snapshot=1"}, 200},
		{"a socket", "GET /v1/ws", call{path: "/v1/ws", header: handshake()}, 101},
		{"a ping", "GET /v1/ping", call{path: "/v1/ping?t=1732380000.1"}, 200},
		{"a bare ping", "GET /v1/ping", call{path: "/v1/ping"}, 200},
		{"the document", "GET /v1/openapi.json", call{path: "/v1/openapi.json"}, 200},
		{"the document that did not change", "GET /v1/openapi.json", call{path: "/v1/openapi.json", header: map[string]string{"If-None-Match": "*"}}, 304},
		{"the other document", "GET /v1/asyncapi.json", call{path: "/v1/asyncapi.json"}, 200},
		{"the SDK", "GET /v1/sdk.js", call{path: "/v1/sdk.js"}, 200},
		{"the SDK that did not change", "GET /v1/sdk.js", call{path: "/v1/sdk.js", header: map[string]string{"If-None-Match": "*"}}, 304},
		{"the other document that did not change", "GET /v1/asyncapi.json", call{path: "/v1/asyncapi.json", header: map[string]string{"If-None-Match": "*"}}, 304},
	}
}

// connect opens a stream and returns the id of its connection.
func (s *site) connect(t *testing.T) string {
	t.Helper()
	var hello struct{ Connection string }
	if err := json.Unmarshal([]byte(s.stream(t, call{path: "/v1/stream?topic=orders/*"}).until(t, "roxy:hello").data), &hello); err != nil {
		t.Fatal(err)
	}
	return hello.Connection
}

func TestEveryOperationTakesAndAnswersWhatItsDocumentSays(t *testing.T) {
	s := open(t, limit.Options{PublishRate: 1000, PublishBurst: 1000}, nil)
	c := s.openapi(t)
	missing := make(map[string]bool)
	for _, o := range c.operations() {
		responses, _ := c.look(o.place() + "/responses")
		for status := range responses.(map[string]any) {
			if status < "400" {
				missing[string(o)+" "+status] = true
			}
		}
	}
	for _, d := range dialogues(s.connect(t), s.critical(t, "board")) {
		if err := c.takes(t, d.operation, d.call); err != nil {
			t.Errorf("%s: %v", d.name, err)
		}
		got := s.ask(t, d.call)
		if got.status != d.status {
			t.Errorf("%s: %d %s", d.name, got.status, got.body)
		}
		if err := c.holds(t, d.operation.place()+"/responses", got); err != nil {
			t.Errorf("%s: %v", d.name, err)
		}
		delete(missing, fmt.Sprintf("%s %d", d.operation, d.status))
	}
	for success := range missing {
		t.Errorf("nobody asked for %s", success)
	}
}

// refusals collects which codes were heard of, each held to the operation that it came from.
type refusals struct {
	*contract
	heard map[string]bool // by code, and by operation and code
}

func (r *refusals) hear(t *testing.T, name string, o operation, code roxy.Code, got answer) {
	t.Helper()
	responses := jsontext.Pointer("/components/responses") // of what is no operation
	if o != "" {
		responses = o.place() + "/responses"
	}
	if err := r.holds(t, responses, got); err != nil {
		t.Errorf("%s: %v", name, err)
	}
	var body problemBody
	if err := json.Unmarshal([]byte(got.body), &body); err != nil || code != "" && body.Code != code || body.Status != got.status {
		t.Errorf("%s: want %s, got %d %s", name, code, got.status, got.body)
	}
	r.heard[string(body.Code)] = true
	r.heard[string(o)+" "+string(body.Code)] = true
}

func TestEveryRefusalIsListedByItsOperation(t *testing.T) {
	s := open(t, noLimits(), func(o *Options) { o.MaxBatch = 3 })
	r := &refusals{s.openapi(t), make(map[string]bool)}
	expired := "Bearer " + sign(t, func(c *auth.Claims) { c.Expires = time.Now().Add(-time.Hour) })
	for _, d := range dialogues("nobody", "elsewhere.1") {
		if list, _ := r.look(d.operation.place() + "/security"); list != nil && len(asList(list)) == 0 {
			continue
		}
		for code, change := range map[roxy.Code]func(*call){
			roxy.Unauthenticated: func(c *call) { c.header["Authorization"] = "" },
			roxy.TokenExpired:    func(c *call) { c.header["Authorization"] = expired },
			roxy.TokenInURL: func(c *call) {
				c.path += map[bool]string{true: "&", false: "?"}[strings.Contains(c.path, "?")] + "access_token=x"
			},
		} {
			changed := call{d.call.method, d.call.path, make(map[string]string), d.call.body}
			maps.Copy(changed.header, d.call.header)
			change(&changed)
			r.hear(t, d.name, d.operation, code, s.ask(t, changed))
		}
	}

	const entity, events, mutations = operation("PUT /v1/entities/{topic}"), operation("POST /v1/events"), operation("POST /v1/mutations")
	jsonMedia := map[string]string{"Content-Type": "application/json"}
	merge := map[string]string{"Content-Type": "application/merge-patch+json"}
	form := map[string]string{"Content-Type": "application/x-www-form-urlencoded"}
	if got := s.ask(t, call{http.MethodPut, "/v1/entities/orders/1", with(jsonMedia, "Idempotency-Key", "used"), `{"a":1}`}); got.status != http.StatusCreated {
		t.Fatal(got)
	}
	s.publish(t, nil, `{"topic":"orders/1","id":"used"}`)
	event := s.critical(t, "board")
	another := map[string]string{"Authorization": "Bearer " + sign(t, func(c *auth.Claims) { c.User = "u8" })}
	for _, id := range []string{"gone", "gone-put", "gone-patch", "gone-delete"} {
		s.ask(t, call{method: http.MethodDelete, path: "/v1/mutations/" + id})
	}
	large := `{"a":"` + strings.Repeat("x", 64<<10) + `"}`
	readers := map[string]string{"Authorization": "Bearer " + sign(t, func(c *auth.Claims) { c.Grant.Write = nil })}
	for _, tt := range []struct {
		operation operation
		code      roxy.Code
		call      call
	}{
		{"POST /v1/tickets", roxy.InvalidParameter, call{method: http.MethodPost, path: "/v1/tickets?ticket=x"}},
		{"POST /v1/sessions/{connection}/refresh", roxy.NotFound, call{method: http.MethodPost, path: "/v1/sessions/nobody/refresh"}},
		{"POST /v1/sessions/{connection}/refresh", roxy.Forbidden, call{http.MethodPost, "/v1/sessions/" + s.connect(t) + "/refresh", map[string]string{
			"Authorization": "Bearer " + sign(t, func(c *auth.Claims) { c.Roles = []string{"boss"} }),
		}, ""}},
		{events, roxy.Forbidden, call{http.MethodPost, "/v1/events", nil, `{"topic":"tables/1"}`}},
		{events, roxy.InvalidTopic, call{http.MethodPost, "/v1/events", nil, `{"topic":"a//b"}`}},
		{events, roxy.InvalidEvent, call{http.MethodPost, "/v1/events", nil, `{"topic":"orders/1","n":1}`}},
		{events, roxy.InvalidParameter, call{http.MethodPost, "/v1/events", map[string]string{"Idempotency-Key": `"`}, `{"topic":"orders/1"}`}},
		{events, roxy.TooLarge, call{http.MethodPost, "/v1/events", nil, `{"topic":"orders/1","data":` + large + `}`}},
		{events, roxy.UnsupportedMedia, call{http.MethodPost, "/v1/events", form, `a=b`}},
		{events, roxy.KeyReused, call{http.MethodPost, "/v1/events", nil, `{"topic":"orders/1","id":"used","data":2}`}},
		{"GET /v1/entities", roxy.Forbidden, call{path: "/v1/entities?match=tables/*"}},
		{"GET /v1/entities", roxy.InvalidTopic, call{path: "/v1/entities?match=**/a"}},
		{"GET /v1/entities", roxy.InvalidParameter, call{path: "/v1/entities?match=orders/*&limit=0"}},
		{"GET /v1/entities/{topic}", roxy.Forbidden, call{path: "/v1/entities/tables/1"}},
		{"GET /v1/entities/{topic}", roxy.InvalidTopic, call{path: "/v1/entities/orders/!"}},
		{"GET /v1/entities/{topic}", roxy.NotFound, call{path: "/v1/entities/orders/none"}},
		{entity, roxy.Forbidden, call{http.MethodPut, "/v1/entities/tables/1", jsonMedia, `{}`}},
		{entity, roxy.InvalidTopic, call{http.MethodPut, "/v1/entities/orders/!", jsonMedia, `{}`}},
		{entity, roxy.InvalidMutation, call{http.MethodPut, "/v1/entities/orders/1", jsonMedia, `[]`}},
		{entity, roxy.InvalidParameter, call{http.MethodPut, "/v1/entities/orders/1", with(jsonMedia, "If-Match", "1"), `{}`}},
		{entity, roxy.TooLarge, call{http.MethodPut, "/v1/entities/orders/1", jsonMedia, large}},
		{entity, roxy.UnsupportedMedia, call{http.MethodPut, "/v1/entities/orders/1", form, `{}`}},
		{entity, roxy.KeyReused, call{http.MethodPut, "/v1/entities/orders/1", with(jsonMedia, "Idempotency-Key", "used"), `{"a":2}`}},
		{entity, roxy.WasCancelled, call{http.MethodPut, "/v1/entities/orders/1", with(jsonMedia, "Idempotency-Key", "gone-put"), `{"a":2}`}},
		{entity, roxy.VersionConflict, call{http.MethodPut, "/v1/entities/orders/1", with(jsonMedia, "If-Match", `"7"`), `{"a":2}`}},
		{entity, roxy.VersionConflict, call{http.MethodPut, "/v1/entities/orders/none", with(jsonMedia, "If-Match", "*"), `{"a":2}`}},
		{"PATCH /v1/entities/{topic}", roxy.NotFound, call{http.MethodPatch, "/v1/entities/orders/none", merge, `{}`}},
		{"PATCH /v1/entities/{topic}", roxy.Forbidden, call{http.MethodPatch, "/v1/entities/tables/1", merge, `{}`}},
		{"PATCH /v1/entities/{topic}", roxy.InvalidTopic, call{http.MethodPatch, "/v1/entities/orders/!", merge, `{}`}},
		{"PATCH /v1/entities/{topic}", roxy.InvalidMutation, call{http.MethodPatch, "/v1/entities/orders/1", merge, `{`}},
		{"PATCH /v1/entities/{topic}", roxy.InvalidParameter, call{http.MethodPatch, "/v1/entities/orders/1", with(merge, "Roxy-Base", "x"), `{}`}},
		{"PATCH /v1/entities/{topic}", roxy.TooLarge, call{http.MethodPatch, "/v1/entities/orders/1", merge, large}},
		{"PATCH /v1/entities/{topic}", roxy.UnsupportedMedia, call{http.MethodPatch, "/v1/entities/orders/1", jsonMedia, `{}`}},
		{"PATCH /v1/entities/{topic}", roxy.KeyReused, call{http.MethodPatch, "/v1/entities/orders/1", with(merge, "Idempotency-Key", "used"), `{}`}},
		{"PATCH /v1/entities/{topic}", roxy.WasCancelled, call{http.MethodPatch, "/v1/entities/orders/1", with(merge, "Idempotency-Key", "gone-patch"), `{}`}},
		{"PATCH /v1/entities/{topic}", roxy.VersionConflict, call{http.MethodPatch, "/v1/entities/orders/1", with(merge, "Roxy-Base", "0"), `{"a":2}`}},
		{"DELETE /v1/entities/{topic}", roxy.NotFound, call{method: http.MethodDelete, path: "/v1/entities/orders/none"}},
		{"DELETE /v1/entities/{topic}", roxy.Forbidden, call{method: http.MethodDelete, path: "/v1/entities/tables/1"}},
		{"DELETE /v1/entities/{topic}", roxy.InvalidTopic, call{method: http.MethodDelete, path: "/v1/entities/orders/!"}},
		{"DELETE /v1/entities/{topic}", roxy.InvalidMutation, call{http.MethodDelete, "/v1/entities/orders/1", map[string]string{"Roxy-Seq": "1"}, ""}},
		{"DELETE /v1/entities/{topic}", roxy.InvalidParameter, call{http.MethodDelete, "/v1/entities/orders/1", map[string]string{"If-Match": "x"}, ""}},
		{"DELETE /v1/entities/{topic}", roxy.KeyReused, call{http.MethodDelete, "/v1/entities/orders/1", map[string]string{"Idempotency-Key": "used"}, ""}},
		{"DELETE /v1/entities/{topic}", roxy.WasCancelled, call{http.MethodDelete, "/v1/entities/orders/1", map[string]string{"Idempotency-Key": "gone-delete"}, ""}},
		{"DELETE /v1/entities/{topic}", roxy.VersionConflict, call{http.MethodDelete, "/v1/entities/orders/1", map[string]string{"If-Match": `"7"`}, ""}},
		{mutations, roxy.Forbidden, call{http.MethodPost, "/v1/mutations", nil, `{"op":"delete","topic":"tables/1"}`}},
		{mutations, roxy.NotFound, call{http.MethodPost, "/v1/mutations", nil, `{"op":"delete","topic":"orders/none"}`}},
		{mutations, roxy.InvalidTopic, call{http.MethodPost, "/v1/mutations", nil, `{"op":"delete","topic":"a//b"}`}},
		{mutations, roxy.InvalidMutation, call{http.MethodPost, "/v1/mutations", nil, `{"op":"post","topic":"orders/1"}`}},
		{mutations, roxy.InvalidParameter, call{http.MethodPost, "/v1/mutations", map[string]string{"Idempotency-Key": `"`}, `{"op":"delete","topic":"orders/1"}`}},
		{mutations, roxy.TooLarge, call{http.MethodPost, "/v1/mutations", nil, `{"op":"put","topic":"orders/1","data":` + large + `}`}},
		{mutations, roxy.UnsupportedMedia, call{http.MethodPost, "/v1/mutations", form, `{}`}},
		{mutations, roxy.VersionConflict, call{http.MethodPost, "/v1/mutations", nil, `{"op":"patch","topic":"orders/1","patch":{"a":2},"guard":"fields","base":0}`}},
		{mutations, roxy.KeyReused, call{http.MethodPost, "/v1/mutations", nil, `{"id":"used","op":"delete","topic":"orders/1"}`}},
		{mutations, roxy.WasCancelled, call{http.MethodPost, "/v1/mutations", nil, `{"id":"gone","op":"delete","topic":"orders/1"}`}},
		{"POST /v1/mutations/status", roxy.InvalidParameter, call{http.MethodPost, "/v1/mutations/status", nil, `{}`}},
		{"POST /v1/mutations/status", roxy.TooLarge, call{http.MethodPost, "/v1/mutations/status", nil, `{"ids":["1","2","3","4"]}`}},
		{"POST /v1/mutations/status", roxy.UnsupportedMedia, call{http.MethodPost, "/v1/mutations/status", form, `{}`}},
		{"DELETE /v1/mutations/{id}", roxy.Forbidden, call{method: http.MethodDelete, path: "/v1/mutations/m-1", header: readers}},
		{"DELETE /v1/mutations/status", roxy.Forbidden, call{method: http.MethodDelete, path: "/v1/mutations/status", header: readers}},
		{"DELETE /v1/mutations/{id}", roxy.InvalidParameter, call{method: http.MethodDelete, path: "/v1/mutations/%00"}},
		{"GET /v1/presence", roxy.Forbidden, call{path: "/v1/presence?topic=tables/1"}},
		{"GET /v1/presence", roxy.InvalidTopic, call{path: "/v1/presence?topic=orders/*"}},
		{"GET /v1/presence", roxy.InvalidParameter, call{path: "/v1/presence?page=1"}},
		{"GET /v1/events/{cursor}/receipts", roxy.NotFound, call{path: "/v1/events/" + event + "/receipts", header: another}},
		{"GET /v1/events/{cursor}/receipts", roxy.InvalidParameter, call{path: "/v1/events/1/receipts"}},
		{"POST /v1/acks", roxy.Forbidden, call{http.MethodPost, "/v1/acks", another, `{"device":"board","ids":["` + event + `"]}`}},
		{"POST /v1/acks", roxy.NotFound, call{http.MethodPost, "/v1/acks", nil, `{"device":"nobody","ids":["` + event + `"]}`}},
		{"POST /v1/acks", roxy.InvalidParameter, call{http.MethodPost, "/v1/acks", nil, `{"device":"board"}`}},
		{"POST /v1/acks", roxy.TooLarge, call{http.MethodPost, "/v1/acks", nil, `{"device":"board","ids":["a.1","a.2","a.3","a.4"]}`}},
		{"POST /v1/acks", roxy.UnsupportedMedia, call{http.MethodPost, "/v1/acks", form, `{}`}},
		{"DELETE /v1/devices/{device}", roxy.Forbidden, call{method: http.MethodDelete, path: "/v1/devices/board", header: another}},
		{"DELETE /v1/devices/{device}", roxy.NotFound, call{method: http.MethodDelete, path: "/v1/devices/nobody"}},
		{"DELETE /v1/devices/{device}", roxy.InvalidParameter, call{method: http.MethodDelete, path: "/v1/devices/a.b"}},
		{"GET /v1/stream", roxy.Forbidden, call{path: "/v1/stream?topic=tables/*"}},
		{"GET /v1/stream", roxy.InvalidTopic, call{path: "/v1/stream?topic=**/a"}},
		{"GET /v1/stream", roxy.InvalidParameter, call{path: "/v1/stream"}},
		{"GET /v1/stream", roxy.NotAcceptable, call{path: "/v1/stream?topic=orders/*", header: map[string]string{"Accept": "text/html"}}},
		{"GET /v1/ws", roxy.InvalidParameter, call{path: "/v1/ws"}},
		{"GET /v1/ping", roxy.InvalidParameter, call{path: "/v1/ping?t=%00"}},
		{"", roxy.NotFound, call{path: "/v1/nowhere"}},
		{"", roxy.MethodNotAllowed, call{method: http.MethodDelete, path: "/v1/events"}},
	} {
		r.hear(t, fmt.Sprintf("%s %s", tt.operation, tt.code), tt.operation, tt.code, s.ask(t, tt.call))
	}

	r.hearOfLoad(t)
	r.hearOfTheEnd(t, s)
	r.hearOfTheRest(t)
	operators := []roxy.Code{roxy.InvalidImport, roxy.NotEmpty} // told by the operator's listener alone
	for _, row := range table() {
		if !r.heard[string(row.code)] && !slices.Contains(operators, row.code) {
			t.Errorf("nobody was told %s", row.code)
		}
	}
	for _, o := range r.operations() {
		responses, place := r.look(o.place() + "/responses")
		for status := range responses.(map[string]any) {
			for _, code := range r.codes(place.AppendToken(status)) {
				ours := code == string(roxy.NotReady) || code == string(roxy.Overloaded) // not for a client to provoke, one operation at a time
				if !ours && !r.heard[string(o)+" "+code] {
					t.Errorf("%s lists %s, and nobody was told it there", o, code)
				}
			}
		}
	}
}

// hearOfLoad asks a hub that lets through one of everything.
func (r *refusals) hearOfLoad(t *testing.T) {
	t.Helper()
	s := open(t, limit.Options{PublishRate: 0.001, PublishBurst: 1, ConnectionsPerUser: 1, AckRate: 0.001, AckBurst: 1}, nil)
	s.ask(t, call{http.MethodPost, "/v1/acks", nil, `{"device":"nobody","ids":["a.1"]}`})
	s.publish(t, nil, `{"topic":"orders/1"}`)
	s.connect(t)
	media := func(m string) map[string]string { return map[string]string{"Content-Type": m, "Roxy-Client": "test"} }
	for o, c := range map[operation]call{
		"POST /v1/events":             {http.MethodPost, "/v1/events", nil, `{"topic":"orders/1"}`},
		"PUT /v1/entities/{topic}":    {http.MethodPut, "/v1/entities/orders/1", media("application/json"), `{}`},
		"PATCH /v1/entities/{topic}":  {http.MethodPatch, "/v1/entities/orders/1", media("application/merge-patch+json"), `{}`},
		"DELETE /v1/entities/{topic}": {method: http.MethodDelete, path: "/v1/entities/orders/1"},
		"POST /v1/mutations":          {http.MethodPost, "/v1/mutations", nil, `{"op":"delete","topic":"orders/1"}`},
		"POST /v1/mutations/status":   {http.MethodPost, "/v1/mutations/status", nil, `{"ids":["m-1"]}`},
		"DELETE /v1/mutations/status": {method: http.MethodDelete, path: "/v1/mutations/status"},
		"DELETE /v1/mutations/{id}":   {method: http.MethodDelete, path: "/v1/mutations/m-1"},
		"POST /v1/acks":               {http.MethodPost, "/v1/acks", nil, `{"device":"nobody","ids":["a.1"]}`},
		"DELETE /v1/devices/{device}": {method: http.MethodDelete, path: "/v1/devices/nobody"},
		"GET /v1/stream":              {path: "/v1/stream?topic=orders/*", header: media("")},
		"GET /v1/ws":                  {path: "/v1/ws", header: handshake()},
	} {
		r.hear(t, "too many: "+string(o), o, roxy.RateLimited, s.ask(t, c))
	}
	for range 1 << 10 { // a user may have so many tickets
		if got := s.ask(t, call{method: http.MethodPost, path: "/v1/tickets"}); got.status != http.StatusOK {
			r.hear(t, "too many tickets", "POST /v1/tickets", roxy.RateLimited, got)
			return
		}
	}
	t.Error("a thousand tickets were sold")
}

// hearOfTheEnd asks everything of a hub that is closed, and then of one whose engine is, too.
func (r *refusals) hearOfTheEnd(t *testing.T, s *site) {
	t.Helper()
	ask := func() {
		for _, d := range dialogues("nobody", "elsewhere.1") {
			d.call.header = with(d.call.header, "Roxy-Client", "test")
			if got := s.ask(t, d.call); got.status >= 400 {
				r.hear(t, "at the end: "+d.name, d.operation, "", got)
			}
		}
	}
	if err := s.hub.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	ask()
	if err := s.engine.Close(); err != nil {
		t.Fatal(err)
	}
	ask()
}

// hearOfTheRest tells what no request of a test provokes.
func (r *refusals) hearOfTheRest(t *testing.T) {
	t.Helper()
	for code, err := range map[roxy.Code]error{
		roxy.Internal: errors.New("disk on fire"),
		roxy.SchemaViolation: &roxy.Problem{Code: roxy.SchemaViolation, Member: "data", Violations: []roxy.Violation{
			{Pointer: "/table", Keyword: "type", Message: "want a number"},
		}},
	} {
		w := httptest.NewRecorder()
		_ = Write(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", nil), err)
		told := 0
		for _, o := range r.operations() {
			if slices.Contains(r.codes(o.place()+"/responses"+jsontext.Pointer(fmt.Sprintf("/%d", w.Code))), string(code)) {
				told++
				r.hear(t, string(o), o, code, answer{w.Code, w.Header(), w.Body.String()})
			}
		}
		if want := map[roxy.Code]int{roxy.Internal: len(r.operations()), roxy.SchemaViolation: 4}[code]; told != want {
			t.Errorf("%d operations list %s, want %d", told, code, want)
		}
	}
}

// with returns header and one more field.
func with(header map[string]string, name, value string) map[string]string {
	more := map[string]string{name: value}
	maps.Copy(more, header)
	return more
}
