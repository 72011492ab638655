package httpapi

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/auth"
	"github.com/roxyhub/roxy/limit"
)

// publishCritical publishes one event and returns its cursor.
func (s *site) publishCritical(t *testing.T, event string) string {
	t.Helper()
	got := s.ask(t, call{http.MethodPost, "/v1/events", nil, event})
	var published struct{ Events []struct{ Cursor string } }
	if err := json.Unmarshal([]byte(got.body), &published); err != nil || got.status != http.StatusOK {
		t.Fatalf("%d %s, %v", got.status, got.body, err)
	}
	return published.Events[0].Cursor
}

// critical connects a device and returns the cursor of an event that it is to confirm.
func (s *site) critical(t *testing.T, device string) string {
	t.Helper()
	s.stream(t, call{path: "/v1/stream?topic=orders/*&type=order:urgent&device=" + device}).until(t, "roxy:live")
	return s.publishCritical(t, `{"topic":"orders/1","type":"order:urgent","ack":{"by":"device"},"correlation":"c"}`)
}

func TestDecodeAcksKeepsEveryMember(t *testing.T) {
	acks, err := decodeAcks([]byte(` {"ids":["k3.7","k3.9"],"device":"tablet-1","delivered":"k3.12"} `), 2)
	if err != nil || acks.Device != "tablet-1" || acks.Delivered == nil || *acks.Delivered != (roxy.Cursor{Epoch: "k3", Offset: 12}) ||
		len(acks.Confirmed) != 2 || acks.Confirmed[1] != (roxy.Cursor{Epoch: "k3", Offset: 9}) {
		t.Errorf("%+v, %v", acks, err)
	}
}

func FuzzDecodeAcks(f *testing.F) {
	for _, seed := range []string{
		`{"device":"d","delivered":"k3.7"}`, `{"device":"d","ids":["k3.7","k3.8"]}`, `{"device":"d","ids":[]}`, `{"device":"d"}`, `{"ids":["k3.7"]}`, `{}`, `null`, `[]`,
		`{"device":"a.b","ids":["k3.7"]}`, `{"device":"d","ids":["k3.07"]}`, `{"device":"d","delivered":null}`, `{"device":"d","device":"e"}`, `{"device":"d","delivered":"k3.18446744073709551616"}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		acks, err := decodeAcks(bytes.Clone(body), maxBatch)
		if err != nil {
			checkProblem(t, body, err)
			return
		}
		if roxy.CheckDevice(acks.Device) != nil || len(acks.Confirmed) > maxBatch || acks.Delivered == nil && len(acks.Confirmed) == 0 {
			t.Fatalf("%q: %+v", body, acks)
		}
		for _, c := range acks.Confirmed {
			if again, err := roxy.ParseCursor(c.String()); err != nil || again != c {
				t.Fatalf("%q: cursor %v, %v", body, c, err)
			}
		}
	})
}

// One event is confirmed by a device, and then again; another is unknown to it, a third has nobody.
func TestACriticalEventIsAccountedForFromItsPublishToItsEnd(t *testing.T) {
	s := open(t, unbounded(), func(o *Options) { o.MaxBatch = 3 })
	s.stream(t, call{path: "/v1/stream?topic=orders/*&device=board"}).until(t, "roxy:live")
	other := map[string]string{"Authorization": as(t, func(c *auth.Claims) { c.User = "u8" })}
	boss := map[string]string{"Authorization": as(t, func(c *auth.Claims) { c.User, c.Grant.Admin = "u1", true })}
	s.stream(t, call{path: "/v1/stream?topic=orders/*&device=till", header: other}).until(t, "roxy:live")
	event := s.publishCritical(t, `{"topic":"orders/1","type":"order:new","ack":{"by":"user","within":"1m"},"correlation":"c"}`)
	for strings.Count(s.ask(t, call{path: "/v1/events/" + event + "/receipts"}).body, `"attempts":1,"transport":"sse"`) < 2 { // what was written is noted a little later
		if t.Context().Err() != nil {
			t.Fatal("it was not written to both")
		}
	}
	nobody := s.publishCritical(t, `{"topic":"orders/2","ack":{"by":"any","attempts":2},"to":{"users":["u9"]}}`)
	acks := func(body string) call { return call{http.MethodPost, "/v1/acks", nil, body} }
	for _, step := range []struct {
		name string
		call call
	}{
		{"unknown parts", acks(`{"device":"board","ids":["` + nobody + `","elsewhere.1"]}`)},
		{"a confirmation", acks(`{"device":"board","ids":["` + event + `"]}`)},
		{"the same again, and delivery", acks(`{"device":"board","ids":["` + event + `"],"delivered":"` + event + `"}`)},
		{"delivery of another log", acks(`{"device":"board","delivered":"elsewhere.9"}`)},
		{"the last confirmation", call{http.MethodPost, "/v1/acks", other, `{"device":"till","ids":["` + event + `"]}`}},
		{"receipts for the publisher", call{path: "/v1/events/" + event + "/receipts"}},
		{"receipts for an administrator", call{path: "/v1/events/" + nobody + "/receipts", header: boss}},
		{"receipts for others", call{path: "/v1/events/" + event + "/receipts", header: other}},
		{"receipts of no critical event", call{path: "/v1/events/" + strings.TrimSuffix(event, ".1") + ".9/receipts"}},
		{"receipts of no cursor", call{path: "/v1/events/1/receipts"}},
		{"another's device", call{http.MethodPost, "/v1/acks", other, `{"device":"board","ids":["` + event + `"]}`}},
		{"an unknown device", acks(`{"device":"nowhere","ids":["` + event + `"]}`)},
		{"no device", acks(`{"ids":["` + event + `"]}`)},
		{"nothing said", acks(`{"device":"board"}`)},
		{"no ids", acks(`{"device":"board","ids":[]}`)},
		{"a broken id", acks(`{"device":"board","ids":["` + event + `","7"]}`)},
		{"too many ids", acks(`{"device":"board","ids":["a.1","a.2","a.3","a.4"]}`)},
		{"an unknown member", acks(`{"device":"board","id":"` + event + `"}`)},
		{"an administrator forgets another's device", call{method: http.MethodDelete, path: "/v1/devices/till", header: boss}},
		{"a device forgotten twice", call{method: http.MethodDelete, path: "/v1/devices/till", header: other}},
		{"another's device is not forgotten", call{method: http.MethodDelete, path: "/v1/devices/board", header: other}},
	} {
		golden(t, fileOf("acks", step.name), s.answer(t, step.call))
	}
}

func TestDevicesAreListedToTheirOwner(t *testing.T) {
	s := open(t, limit.Options{}, nil)
	type listed struct {
		Device                string
		Patterns, Types       []string
		Connected             bool
		Connection, Transport string
	}
	list := func(user string) (devices []listed) {
		t.Helper()
		got := s.ask(t, call{path: "/v1/devices", header: map[string]string{"Authorization": as(t, func(c *auth.Claims) { c.User = user })}})
		var body struct{ Devices []listed }
		if err := json.Unmarshal([]byte(got.body), &body); err != nil || got.status != http.StatusOK || body.Devices == nil {
			t.Fatalf("%d %s, %v", got.status, got.body, err)
		}
		return body.Devices
	}
	st := s.stream(t, call{path: "/v1/stream?topic=orders/*&type=order:new&device=board"})
	st.until(t, "roxy:live")
	got := list("u7")
	if len(got) != 1 || got[0].Device != "board" || !got[0].Connected || got[0].Connection == "" || got[0].Transport != "sse" ||
		strings.Join(got[0].Patterns, " ") != "orders/*" || strings.Join(got[0].Types, " ") != "order:new" {
		t.Errorf("%+v", got)
	}
	if got := list("u8"); len(got) != 0 {
		t.Errorf("another user is told of %+v", got)
	}
	if got := s.ask(t, call{method: http.MethodDelete, path: "/v1/devices/board"}); got.status != http.StatusNoContent || got.body != "" {
		t.Errorf("%+v", got)
	}
	if m := st.until(t, "roxy:bye"); !strings.Contains(m.data, `"reason":"replaced"`) {
		t.Errorf("the stream of a device that was forgotten: %+v", m)
	}
	if got := list("u7"); len(got) != 0 {
		t.Errorf("forgotten, and still there: %+v", got)
	}
}

func TestASocketAcknowledgesAsPostDoes(t *testing.T) {
	s := open(t, limit.Options{AckRate: 0.001, AckBurst: 3}, nil)
	c := s.socket(t, "", nil)
	c.ask(t, `{"op":"subscribe","ref":"1","topic":["orders/*"],"device":"board"}`)
	c.until(t, "roxy:live")
	event := s.publishCritical(t, `{"topic":"orders/1","type":"order:new","ack":{"by":"any"}}`)
	if got := c.until(t, "order:new"); !strings.Contains(got, `"ack":{"id":"`+event+`","by":"any"},"attempt":1`) {
		t.Errorf("got %s", got)
	}
	for request, want := range map[string]string{
		`{"op":"ack","ref":"2","device":"board","delivered":"` + event + `","ids":["` + event + `"]}`: `{"ref":"2","ok":true,"device":"board","cursor":"` + event + `","results":[{"id":"` + event + `","status":"confirmed"}]}`,
		`{"op":"ack","ref":"3","device":"board","ids":["a.1","b"]}`:                                   `"member":"ids[1]"`,
		`{"op":"ack","ref":"4","device":"board"}`:                                                     `"member":"ids"`,
		`{"op":"ack","ref":"5","device":"nowhere","ids":["a.1"]}`:                                     `"code":"not-found","member":"device"`,
	} {
		if got := c.ask(t, request); !strings.Contains(got, want) {
			t.Errorf("%s: %s, want %s", request, got, want)
		}
	}
	c.ask(t, `{"op":"ack","ref":"6","device":"board","ids":["a.1"]}`)
	if got := c.ask(t, `{"op":"ack","ref":"7","device":"board","ids":["a.1"]}`); !strings.Contains(got, `"code":"rate-limited"`) {
		t.Errorf("a fourth call of three: %s", got)
	}
}
