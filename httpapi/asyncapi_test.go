package httpapi

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/gobwas/ws/wsutil"

	"github.com/roxyhub/roxy/auth"
	"github.com/roxyhub/roxy/limit"
)

// heard holds what a client hears to the document, and remembers which of its messages they were.
type heard struct {
	*contract
	seen map[string]bool
}

// message holds what came over a channel as one of the document's messages.
func (h *heard) message(t *testing.T, channel, name, headers, payload string) {
	t.Helper()
	found, place := h.look(jsontext.Pointer("/channels").AppendToken(channel) + "/messages/" + jsontext.Pointer(name))
	if found == nil {
		t.Errorf("%s has no message %s", channel, name)
		return
	}
	h.seen[name] = true
	if err := h.fits(t, place+"/payload", payload); err != nil {
		t.Errorf("%s: %v: %s", name, err, payload)
	}
	if headers != "" {
		if err := h.fits(t, place+"/headers", headers); err != nil {
			t.Errorf("%s: %v: %s", name, err, headers)
		}
	}
}

// kind names the message that an event of a stream is.
func kind(event, data string) string {
	if control, ok := strings.CutPrefix(event, "roxy:"); ok {
		return control
	}
	var change struct{ Op string }
	if err := json.Unmarshal([]byte(data), &change); err == nil && change.Op != "" {
		return "change"
	}
	return "event"
}

// next hears the next event of a stream.
func (h *heard) next(t *testing.T, st *stream) string {
	t.Helper()
	m := st.next(t)
	fields := map[string]string{"id": m.id, "event": m.event, "retry": m.retry}
	for name, value := range fields {
		if value == "" {
			delete(fields, name)
		}
	}
	headers, err := json.Marshal(fields)
	if err != nil {
		t.Fatal(err)
	}
	name := kind(m.event, m.data)
	h.message(t, "stream", name, string(headers), m.data)
	if message, _ := h.look("/components/messages/" + jsontext.Pointer(name) + "/name"); strings.HasPrefix(m.event, "roxy:") && message != m.event {
		t.Errorf("%s is called %s", m.event, message)
	}
	return name
}

// until hears a stream until it has told all of these, in whichever order.
func (h *heard) until(t *testing.T, st *stream, names ...string) {
	t.Helper()
	missing := make(map[string]int)
	for _, name := range names {
		missing[name]++
	}
	for len(missing) > 0 {
		name := h.next(t, st)
		if missing[name]--; missing[name] <= 0 {
			delete(missing, name)
		}
	}
}

// complete complains about messages that nobody heard.
func (h *heard) complete(t *testing.T, channel string) {
	t.Helper()
	messages, _ := h.look(jsontext.Pointer("/channels").AppendToken(channel) + "/messages")
	for name := range messages.(map[string]any) {
		if !h.seen[name] {
			t.Errorf("nobody heard %s", name)
		}
	}
}

func TestEveryMessageOfAStreamIsAsItsDocumentSays(t *testing.T) {
	s := open(t, noLimits(), nil)
	h := &heard{s.asyncapi(t), make(map[string]bool)}
	media := map[string]string{"Content-Type": "application/json"}
	s.ask(t, call{http.MethodPut, "/v1/entities/orders/1", media, `{"status":"new","lines":{"a":{"n":1e400}}}`})
	s.ask(t, call{http.MethodPut, "/v1/entities/orders/2", media, `{}`})

	st := s.stream(t, call{path: "/v1/stream?topic=orders/*&snapshot=1&device=tablet&heartbeat=1s"})
	h.until(t, st, "hello", "entity", "entity", "live", "heartbeat")
	s.publish(t, map[string]string{"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}, `[
		{"topic":"orders/1","type":"order:new","data":{"n":1},"correlation":"c"},{"topic":"orders/1"},{"topic":"orders/1","ephemeral":true,"data":[null]}]`)
	h.until(t, st, "event", "event", "event")
	for _, mutation := range []string{
		`{"id":"m-1","op":"put","topic":"orders/3","data":{"a":1},"device":"tablet","seq":1,"correlation":"c"}`,
		`{"id":"m-2","op":"patch","topic":"orders/3","patch":{"a":null},"device":"tablet","seq":2,"type":"order:emptied"}`,
		`{"id":"m-3","op":"delete","topic":"orders/3","device":"tablet","seq":3}`,
	} {
		s.ask(t, call{http.MethodPost, "/v1/mutations", nil, mutation})
		h.until(t, st, "change", "receipt")
	}
	s.ask(t, call{http.MethodPost, "/v1/mutations", nil, `{"id":"m-4","op":"patch","topic":"orders/1","patch":{"status":"x"},"guard":"version","base":9,"device":"tablet"}`})
	h.until(t, st, "receipt")
	s.ask(t, call{method: http.MethodDelete, path: "/v1/mutations/m-5"})
	s.ask(t, call{http.MethodPost, "/v1/mutations", nil, `{"id":"m-5","op":"delete","topic":"orders/1","device":"tablet"}`})
	h.until(t, st, "receipt")

	watcher := s.stream(t, call{path: "/v1/stream?topic=roxy/presence&device=bar"})
	h.until(t, watcher, "hello", "live", "presence")
	h.until(t, s.stream(t, call{path: "/v1/stream?topic=orders/*&device=phone"}), "live")
	h.until(t, watcher, "presence")
	token := map[string]string{"Authorization": "Bearer " + sign(t, func(c *auth.Claims) { c.Grant.Read = append(c.Grant.Read, pattern(t, "roxy/dead-letters")) })}
	dead := s.stream(t, call{path: "/v1/stream?topic=roxy/dead-letters", header: token})
	h.until(t, dead, "hello", "live")
	event := s.publishCritical(t, `{"topic":"orders/1","correlation":"c","ack":{"by":"any"}}`)
	h.until(t, st, "event")
	s.ask(t, call{http.MethodPost, "/v1/acks", nil, `{"device":"tablet","ids":["` + event + `"]}`})
	h.until(t, st, "ack", "ack")
	s.publishCritical(t, `{"topic":"orders/1","ack":{"by":"any"},"to":{"roles":["nobody"]},"correlation":"c"}`)
	h.until(t, dead, "unacked")

	h.until(t, s.stream(t, call{path: "/v1/stream?topic=orders/*&after=elsewhere.5"}), "hello", "reset", "live")
	h.until(t, s.stream(t, call{path: "/v1/stream?topic=orders/*&snapshot=1&after=elsewhere.5"}), "hello", "reset", "entity", "live")
	h.until(t, s.stream(t, call{path: "/v1/stream?topic=orders/*&after=earliest"}), "hello", "change", "event", "live")
	if err := s.hub.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	h.until(t, st, "bye")
	h.until(t, s.stream(t, call{path: "/v1/stream?topic=orders/*"}), "bye") // of an EventSource that is to come later
	h.complete(t, "stream")
}

// exchange sends a request and hears its answer, which is to be the message wanted, and the events on the way.
func (h *heard) exchange(t *testing.T, c *socket, op, request, wanted string) {
	t.Helper()
	if op != "" {
		h.message(t, "socket", op, "", request)
	}
	if err := wsutil.WriteClientText(c, []byte(request)); err != nil {
		t.Fatal(err)
	}
	for {
		text, err := wsutil.ReadServerText(c)
		if err != nil {
			t.Fatal(err)
		}
		if text[0] == '[' {
			h.message(t, "socket", "events", "", string(text))
			continue
		}
		h.message(t, "socket", wanted, "", string(text))
		return
	}
}

// events hears events until there was one of each of these types.
func (h *heard) events(t *testing.T, c *socket, types ...string) {
	t.Helper()
	missing := make(map[string]bool)
	for _, name := range types {
		missing[name] = true
	}
	for len(missing) > 0 {
		text, err := wsutil.ReadServerText(c)
		if err != nil {
			t.Fatal(err)
		}
		h.message(t, "socket", "events", "", string(text))
		var events []struct{ Event string }
		if err := json.Unmarshal(text, &events); err != nil {
			t.Fatal(err)
		}
		for _, e := range events {
			delete(missing, e.Event)
		}
	}
}

func TestEveryMessageOfASocketIsAsItsDocumentSays(t *testing.T) {
	s := open(t, noLimits(), nil)
	h := &heard{s.asyncapi(t), make(map[string]bool)}
	s.ask(t, call{http.MethodPut, "/v1/entities/orders/1", map[string]string{"Content-Type": "application/json"}, `{"status":"new"}`})
	c := s.socket(t, "", nil)
	h.exchange(t, c, "ping", `{"op":"ping","ref":"1"}`, "pong")
	h.exchange(t, c, "subscribe", `{"op":"subscribe","ref":"2","topic":["orders/*"],"snapshot":true,"device":"tablet","heartbeat":"1s"}`, "subscribed")
	h.events(t, c, "roxy:hello", "roxy:entity", "roxy:live")
	h.exchange(t, c, "publish", `{"op":"publish","ref":"3","events":{"topic":"orders/1","type":"order:new","id":"k"}}`, "published")
	h.exchange(t, c, "publish", `{"op":"publish","ref":"4","events":[{"topic":"orders/1","ephemeral":true}]}`, "published")
	h.events(t, c, "roxy:heartbeat")
	h.exchange(t, c, "mutate", `{"op":"mutate","ref":"5","mutations":[{"id":"m-1","op":"patch","topic":"orders/1","patch":{"a":1},"device":"tablet","seq":1},{"op":"delete","topic":"orders/1"}]}`, "mutated")
	h.exchange(t, c, "mutate", `{"op":"mutate","ref":"6","mutations":{"id":"m-2","op":"patch","topic":"orders/1","patch":{"a":1},"device":"tablet"}}`, "refused")
	event := s.publishCritical(t, `{"topic":"orders/1","ack":{"by":"any"}}`)
	h.exchange(t, c, "acknowledge", fmt.Sprintf(`{"op":"ack","ref":"12","device":"tablet","delivered":%q,"ids":[%q,"elsewhere.1"]}`, event, event), "acknowledged")
	h.exchange(t, c, "acknowledge", `{"op":"ack","ref":"13","device":"elsewhere","ids":["a.1"]}`, "refused")
	h.exchange(t, c, "refresh", fmt.Sprintf(`{"op":"refresh","ref":"7","token":%q}`, sign(t, func(c *auth.Claims) { c.Expires = time.Now().Add(2 * time.Hour) })), "refreshed")
	h.exchange(t, c, "unsubscribe", `{"op":"unsubscribe","ref":"8"}`, "unsubscribed")
	h.exchange(t, c, "unsubscribe", `{"op":"unsubscribe","ref":"9"}`, "refused")
	h.exchange(t, c, "", `{"op":`, "refused")
	h.exchange(t, c, "subscribe", `{"op":"subscribe","ref":"10","topic":["orders/*"],"after":"elsewhere.5"}`, "subscribed")
	h.events(t, c, "roxy:hello", "roxy:reset", "roxy:live")
	other := s.socket(t, "", nil)
	h.exchange(t, other, "subscribe", `{"op":"subscribe","ref":"1","topic":["orders/*"],"type":["order:new","entity:updated"],"after":"earliest","device":"tablet"}`, "subscribed")
	h.events(t, other, "roxy:hello", "order:new", "entity:updated", "roxy:live")
	h.exchange(t, c, "mutate", `{"op":"mutate","ref":"11","mutations":{"id":"m-3","op":"put","topic":"orders/1","data":{},"device":"tablet"}}`, "mutated")
	h.events(t, other, "roxy:receipt")
	watcher := s.socket(t, "", nil)
	h.exchange(t, watcher, "subscribe", `{"op":"subscribe","ref":"1","topic":["roxy/presence"],"device":"bar"}`, "subscribed")
	h.events(t, watcher, "roxy:live", "roxy:presence")
	h.exchange(t, s.socket(t, "", nil), "subscribe", `{"op":"subscribe","ref":"1","topic":["orders/*"],"device":"phone"}`, "subscribed")
	h.events(t, watcher, "roxy:presence")
	if err := s.hub.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	h.events(t, other, "roxy:bye")
	h.complete(t, "socket")
}

// What a request may be is told by the document, and refused by the hub, in the same way.
func TestASocketRefusesWhatItsDocumentDoesNotTake(t *testing.T) {
	s := open(t, limit.Options{}, nil)
	h := &heard{s.asyncapi(t), make(map[string]bool)}
	c := s.socket(t, "", nil)
	for op, request := range map[string]string{
		"subscribe":   `{"op":"subscribe","ref":"1"}`,
		"unsubscribe": `{"op":"unsubscribe","ref":"1","topic":["orders/*"]}`,
		"publish":     `{"op":"publish","ref":"1","events":[]}`,
		"mutate":      `{"op":"mutate","ref":"1","mutations":{"op":"put"}}`,
		"acknowledge": `{"op":"ack","ref":"1","device":"tablet"}`,
		"refresh":     `{"op":"refresh","ref":"1","token":1}`,
		"ping":        `{"op":"ping"}`,
	} {
		if err := h.fits(t, "/components/messages/"+jsontext.Pointer(op)+"/payload", request); err == nil {
			t.Errorf("the document takes %s", request)
		}
		h.exchange(t, c, "", request, "refused")
	}
}
