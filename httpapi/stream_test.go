package httpapi

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/roxyhub/roxy/auth"
	"github.com/roxyhub/roxy/limit"
)

// stream is an open event stream as a client reads it.
type stream struct {
	*http.Response
	lines *bufio.Reader
}

// stream opens one that must be answered with 200: then it is counted.
func (s *site) stream(t *testing.T, c call) *stream {
	t.Helper()
	resp := s.do(t, c) //nolint:bodyclose // with the test
	st := &stream{resp, bufio.NewReader(resp.Body)}
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("%s %s: %s", c.method, c.path, resp.Status)
	}
	return st
}

// Close hangs up.
func (st *stream) Close() { _ = st.Body.Close() }

// message is one event of a stream.
type message struct{ id, event, data, retry string }

// next returns the next event.
func (st *stream) next(t *testing.T) message {
	t.Helper()
	var m message
	for {
		line, err := st.lines.ReadString('\n')
		if err != nil {
			t.Fatalf("the stream ended after %+v: %v", m, err)
		}
		field, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		switch field {
		case "id":
			m.id = value
		case "event":
			m.event = value
		case "data":
			m.data += value
		case "retry":
			m.retry = value
		case "":
			if m != (message{}) {
				return m
			}
		}
	}
}

// until returns the next event of the type.
func (st *stream) until(t *testing.T, event string) message {
	t.Helper()
	for {
		if m := st.next(t); m.event == event {
			return m
		}
	}
}

func (s *site) publish(t *testing.T, header map[string]string, body string) {
	t.Helper()
	if got := s.answer(t, call{http.MethodPost, "/v1/events", header, body}); !strings.HasPrefix(got, "200") {
		t.Fatal(got)
	}
}

func TestWhatIsPublishedArrivesAsItWasWritten(t *testing.T) {
	s := open(t, limit.Options{}, nil)
	s.publish(t, nil, `{"topic":"orders/1","type":"before"}`)
	st := s.stream(t, call{path: "/v1/stream?topic=orders/*&after=earliest", header: map[string]string{"Accept": "text/event-stream"}})
	if got := st.Header.Get("Content-Type"); got != "text/event-stream" {
		t.Errorf("Content-Type %q", got)
	}
	if first := st.next(t); first.event != "roxy:hello" {
		t.Errorf("the first event is %+v", first)
	}
	st.until(t, "before")
	s.publish(t, nil, `{"topic":"orders/1","type":"after","correlation":"c1","data":{"n": 1e400, "big":12345678901234567890, "s":"\u00e9\ud83d\ude00"}}`)
	if got := st.until(t, "after").data; !strings.Contains(got, `"data":{"n":1e400,"big":12345678901234567890,"s":"\u00e9\ud83d\ude00"}`) || !strings.Contains(got, `"by":"u7"`) {
		t.Errorf("got %s", got)
	}
	s.publish(t, map[string]string{
		"ce-specversion": "1.0", "ce-id": "2", "ce-source": "/till", "ce-type": "cloud", "ce-subject": "orders/1", "Content-Type": "text/plain",
	}, "two beers")
	if got := st.until(t, "cloud").data; !strings.Contains(got, `"data":"two beers"`) {
		t.Errorf("got %s", got)
	}
}

func TestLastEventIDResumesAStream(t *testing.T) {
	s := open(t, limit.Options{}, nil)
	s.publish(t, nil, `[{"topic":"orders/1","type":"one"},{"topic":"orders/1","type":"two"},{"topic":"orders/1","type":"three"}]`)
	st := s.stream(t, call{path: "/v1/stream?topic=orders/*&after=earliest"})
	one := st.until(t, "one")
	st.Close()
	again := s.stream(t, call{path: "/v1/stream?topic=orders/*&after=earliest", header: map[string]string{"Last-Event-ID": one.id}})
	again.next(t) // hello
	if m := again.next(t); m.event != "two" {
		t.Errorf("resumed at %+v", m)
	}
}

func TestATicketOpensOneStream(t *testing.T) {
	s := open(t, limit.Options{}, nil)
	resp := s.do(t, call{method: http.MethodPost, path: "/v1/tickets"}) //nolint:bodyclose // with the test
	var bought struct {
		Ticket  string
		Expires time.Time
	}
	if err := json.NewDecoder(resp.Body).Decode(&bought); err != nil || bought.Ticket == "" || !bought.Expires.After(time.Now()) {
		t.Fatalf("%+v, %v", bought, err)
	}
	path := "/v1/stream?topic=orders/*&ticket=" + bought.Ticket
	s.stream(t, call{path: path, header: map[string]string{"Authorization": ""}}).until(t, "roxy:live")
	if got := s.answer(t, call{path: path, header: map[string]string{"Authorization": ""}}); !strings.HasPrefix(got, "401") {
		t.Errorf("the second time: %s", got)
	}
	if log := s.log.String(); strings.Contains(log, bought.Ticket) {
		t.Errorf("the log holds the ticket: %s", log)
	}
}

func TestRefreshGoesOnUnderAFreshToken(t *testing.T) {
	s := open(t, limit.Options{}, nil)
	var hello struct{ Connection string }
	if err := json.Unmarshal([]byte(s.stream(t, call{path: "/v1/stream?topic=orders/*"}).next(t).data), &hello); err != nil {
		t.Fatal(err)
	}
	path := "/v1/sessions/" + hello.Connection + "/refresh"
	expires := time.Now().Add(2 * time.Hour).Truncate(time.Second).UTC()
	got := s.answer(t, call{http.MethodPost, path, map[string]string{"Authorization": "Bearer " + sign(t, func(c *auth.Claims) { c.Expires = expires })}, ""})
	if !strings.HasPrefix(got, "200") || !strings.Contains(got, fmt.Sprintf(`{"connection":%q,"expires":"TIME"}`, hello.Connection)) {
		t.Errorf("got %s", got)
	}
	got = s.answer(t, call{http.MethodPost, path, map[string]string{"Authorization": "Bearer " + sign(t, func(c *auth.Claims) { c.User = "u8" })}, ""})
	if strings.HasPrefix(got, "200") {
		t.Errorf("another user refreshed it: %s", got)
	}
}

// A browser takes every status but 200 as final.
func TestAnEventSourceRefusedForLoadIsToldToComeBack(t *testing.T) {
	s := open(t, limit.Options{ConnectionsPerUser: 1}, nil)
	s.stream(t, call{path: "/v1/stream?topic=orders/*"}).until(t, "roxy:live")
	refused := s.stream(t, call{path: "/v1/stream?topic=orders/*"})
	if m := refused.next(t); m.event != "roxy:bye" || m.retry == "" || !strings.Contains(m.data, `"reason":"overload"`) {
		t.Errorf("got %+v", m)
	}
	if rest, err := io.ReadAll(refused.lines); err != nil || strings.TrimSpace(string(rest)) != "" {
		t.Errorf("after the goodbye: %q, %v", rest, err)
	}
	if got := s.answer(t, call{path: "/v1/stream?topic=orders/*", header: map[string]string{"Roxy-Client": "test"}}); !strings.HasPrefix(got, "429") {
		t.Errorf("a client that reads statuses: %s", got)
	}
}

func TestAttemptsAreCountedBeforeTokensAreRead(t *testing.T) {
	s := open(t, limit.Options{AttemptsPerIP: 1}, nil)
	header := map[string]string{"Authorization": "Bearer nonsense", "Roxy-Client": "test"}
	limited := 0
	for range 20 { // one a second is let through; twenty within one test are not
		status, answered := s.head(t, call{path: "/v1/stream?topic=orders/*", header: header})
		if status == http.StatusTooManyRequests {
			limited++
			if answered.Get("RateLimit") == "" || answered.Get("Retry-After") == "" {
				t.Errorf("headers %v", answered)
			}
		}
	}
	if limited == 0 {
		t.Error("no attempt was refused")
	}
}

func TestAStreamThatEndedIsNotCounted(t *testing.T) {
	limits := limit.New(limit.Options{ConnectionsPerUser: 1})
	s := open(t, limit.Options{}, func(o *Options) { o.Limits = limits })
	st := s.stream(t, call{path: "/v1/stream?topic=orders/*"})
	st.until(t, "roxy:live")
	st.Close()
	for limits.Stats().Connections > 0 { // the test's own deadline ends this if it never comes
		if t.Context().Err() != nil {
			t.Fatal("still counted")
		}
		s.publish(t, nil, `{"topic":"orders/1"}`)
	}
	s.stream(t, call{path: "/v1/stream?topic=orders/*"}).until(t, "roxy:live")
}

func TestConnectionsAreCountedByTheClientBehindATrustedProxy(t *testing.T) {
	s := open(t, limit.Options{ConnectionsPerIP: 1}, func(o *Options) {
		o.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}
	})
	from := func(ip string) map[string]string {
		return map[string]string{"X-Forwarded-For": ip, "Roxy-Client": "test"}
	}
	s.stream(t, call{path: "/v1/stream?topic=orders/*", header: from("192.0.2.1")}).until(t, "roxy:live")
	s.stream(t, call{path: "/v1/stream?topic=orders/*", header: from("192.0.2.2")}).until(t, "roxy:live")
	if got := s.answer(t, call{path: "/v1/stream?topic=orders/*", header: from("192.0.2.1")}); !strings.HasPrefix(got, "429") {
		t.Errorf("a second connection of one client: %s", got)
	}
	remotes := make(map[string]bool)
	for _, c := range s.hub.Connections("bar") {
		remotes[c.Remote] = true
	}
	if !remotes["192.0.2.1"] || !remotes["192.0.2.2"] {
		t.Errorf("the operator sees %v", remotes)
	}
}
