package httpapi

import (
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/auth"
	"github.com/roxyhub/roxy/limit"
)

// socket is an open WebSocket as a client has it.
type socket struct{ net.Conn }

// socket opens one; a header of "" is not sent.
func (s *site) socket(t *testing.T, query string, header map[string]string) *socket {
	t.Helper()
	h := http.Header{"Authorization": {"Bearer " + sign(t, nil)}}
	for name, value := range header {
		h.Set(name, value)
		if value == "" {
			h.Del(name)
		}
	}
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	d := ws.Dialer{Protocols: []string{"roxy.v1.json"}, Header: ws.HandshakeHeaderHTTP(h)}
	if _, _, err := d.Upgrade(conn, &url.URL{Scheme: "ws", Host: s.Listener.Addr().String(), Path: "/v1/ws", RawQuery: query}); err != nil {
		t.Fatal(err)
	}
	return &socket{conn}
}

// ask sends a request and returns the answer, the next message that is no event.
func (s *socket) ask(t *testing.T, request string) string {
	t.Helper()
	if err := wsutil.WriteClientText(s, []byte(request)); err != nil {
		t.Fatal(err)
	}
	for {
		text, err := wsutil.ReadServerText(s)
		if err != nil {
			t.Fatal(err)
		}
		if text[0] == '{' {
			return string(text)
		}
	}
}

// until returns the next event of the type.
func (s *socket) until(t *testing.T, event string) string {
	t.Helper()
	for {
		text, err := wsutil.ReadServerText(s)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), fmt.Sprintf(`"event":%q`, event)) {
			return string(text)
		}
	}
}

func TestASocketPublishesAndHearsWhatPostDoes(t *testing.T) {
	s := open(t, limit.Options{}, nil)
	c := s.socket(t, "", nil)
	if got := c.ask(t, `{"op":"subscribe","ref":"1","topic":["orders/*"]}`); !strings.HasPrefix(got, `{"ref":"1","ok":true,"connection":"`) {
		t.Fatal(got)
	}
	c.until(t, "roxy:live")
	got := settled(c.ask(t, `{"op":"publish","ref":"2","events":[{"topic":"orders/1","id":"k1","data":{"n": 1e400}},{"topic":"orders/2","ephemeral":true}]}`))
	if want := `{"ref":"2","ok":true,"epoch":"EPOCH","events":[{"id":"k1","offset":1,"cursor":"EPOCH.1","duplicate":false},{"ephemeral":true}]}`; got != want {
		t.Errorf("got %s", got)
	}
	if got := c.ask(t, `{"op":"publish","ref":"3","events":{"topic":"orders/1","id":"k1","data":{"n":1e400}}}`); !strings.Contains(got, `"offset":1,`) || !strings.Contains(got, `"duplicate":true`) {
		t.Errorf("the same again: %s", got)
	}
	s.publish(t, nil, `{"topic":"orders/1","type":"by:post","data":7}`)
	if got := c.until(t, "by:post"); !strings.Contains(got, `"by":"u7"`) || !strings.Contains(got, `"data":7}`) {
		t.Errorf("got %s", got)
	}
}

// The place of a fault is told from the root of the message.
func TestASocketIsRefusedInTheWordsOfHTTP(t *testing.T) {
	s := open(t, limit.Options{PublishRate: 1, PublishBurst: 1}, func(o *Options) { o.MaxBatch = 2 })
	c := s.socket(t, "", nil)
	for _, tt := range []struct {
		events, code, member string
		status               int
	}{
		{`{"topic":"orders/1","to":{"roles":[1]}}`, "invalid-event", "events.to.roles[0]", 400},
		{`[{"topic":"orders/1"},{"topic":"a//b"}]`, "invalid-topic", "events[1].topic", 400},
		{`[]`, "invalid-event", "events", 400},
		{`7`, "invalid-event", "events", 400},
		{`[{"topic":"orders/1"},{"topic":"orders/1"},{"topic":"orders/1"}]`, "too-large", "events", 413},
		{`{"topic":"payments/1"}`, "forbidden", "events.topic", 403},
		{`{"topic":"orders/1"}`, "rate-limited", "", 429},
	} {
		var answer struct {
			Ref     string
			OK      bool
			Problem problemBody
		}
		text := c.ask(t, `{"op":"publish","ref":"r","events":`+tt.events+`}`)
		if err := json.Unmarshal([]byte(text), &answer); err != nil {
			t.Fatal(err)
		}
		p := answer.Problem
		if answer.OK || answer.Ref != "r" || string(p.Code) != tt.code || p.Member != tt.member || p.Status != tt.status || p.Remedy == "" {
			t.Errorf("%s: %s", tt.events, text)
		}
		if (p.RetryAfter == "") != (p.Status != 429) {
			t.Errorf("%s: retryAfter %q", tt.events, p.RetryAfter)
		}
	}
}

func TestASocketMutatesAndHearsWhatPostDoes(t *testing.T) {
	s := open(t, unbounded(), func(o *Options) { o.MaxBatch = 4 })
	s.hide(t)
	c := s.socket(t, "", nil)
	for _, step := range []struct{ name, request string }{
		{"subscribe", `{"op":"subscribe","ref":"1","topic":["orders/*"],"snapshot":false,"device":"tablet-1"}`},
		{"one", `{"op":"mutate","ref":"2","mutations":{"id":"m1","op":"put","topic":"orders/1","data":{"a":1},"device":"tablet-1"}}`},
		{"some", `{"op":"mutate","ref":"3","mutations":[{"op":"patch","topic":"orders/1","patch":{"b":2},"guard":"fields","base":1},{"op":"put","topic":"orders/2","data":{}}]}`},
		{"again", `{"op":"mutate","ref":"4","mutations":[{"id":"m1","op":"put","topic":"orders/1","data":{"a":1},"device":"tablet-1"}]}`},
		{"a bad topic", `{"op":"mutate","ref":"5","mutations":[{"op":"delete","topic":"orders/1"},{"op":"delete","topic":"a"},{"op":"delete","topic":"a"},{"op":"delete","topic":"a//b"}]}`},
		{"forbidden", `{"op":"mutate","ref":"6","mutations":[{"op":"delete","topic":"orders/1"},{"op":"delete","topic":"orders/2"},{"op":"delete","topic":"orders/3"},{"op":"delete","topic":"tables/1"}]}`},
		{"nothing there", `{"op":"mutate","ref":"7","mutations":[{"op":"delete","topic":"orders/1"},{"op":"delete","topic":"orders/2"},{"op":"put","topic":"orders/2","data":{}},{"op":"patch","topic":"orders/9","patch":{}}]}`},
		{"a conflict", `{"op":"mutate","ref":"8","mutations":{"op":"delete","topic":"orders/1","guard":"version","base":1}}`},
		{"a hidden field", `{"op":"mutate","ref":"9","mutations":{"op":"patch","topic":"orders/1","patch":{"cost":1}}}`},
		{"another id", `{"op":"mutate","ref":"10","mutations":{"id":"m1","op":"delete","topic":"orders/1"}}`},
		{"none", `{"op":"mutate","ref":"11","mutations":[]}`},
		{"too many", `{"op":"mutate","ref":"12","mutations":[{"op":"delete","topic":"orders/1"},{"op":"delete","topic":"orders/1"},{"op":"delete","topic":"orders/1"},{"op":"delete","topic":"orders/1"},{"op":"delete","topic":"orders/1"}]}`},
		{"a number", `{"op":"mutate","ref":"13","mutations":7}`},
		{"nothing", `{"op":"mutate","ref":"14"}`},
	} {
		got := settled(c.ask(t, step.request))
		if step.name == "subscribe" { // a connection has another id each time
			c.until(t, "roxy:live")
			continue
		}
		golden(t, fileOf("socket", step.name), got+"\n")
	}
}

func TestAHandshakeIsRefusedByAProblem(t *testing.T) {
	s := open(t, limit.Options{}, nil)
	handshake := map[string]string{
		"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
		"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Protocol": "roxy.v1.json",
	}
	cookie := "roxy_token=" + sign(t, nil)
	for name, tt := range map[string]struct {
		query  string
		header map[string]string
		want   string
	}{
		"plain GET":          {"", map[string]string{"Upgrade": "", "Connection": ""}, `400 Bad Request|"member":"Upgrade"`},
		"version 8":          {"", map[string]string{"Sec-WebSocket-Version": "8"}, `400 Bad Request|Sec-Websocket-Version: 13`},
		"no subprotocol":     {"", map[string]string{"Sec-WebSocket-Protocol": ""}, `400 Bad Request|"member":"Sec-WebSocket-Protocol"`},
		"no token":           {"", map[string]string{"Authorization": ""}, `401 Unauthorized|"code":"unauthenticated"`},
		"a token in the URL": {"token=x", nil, `400 Bad Request|"code":"token-in-url"`},
		"a parameter":        {"topic=orders/1", nil, `400 Bad Request|"member":"topic"`},
		"a ticket unknown":   {"ticket=x", map[string]string{"Authorization": ""}, `401 Unauthorized|"member":"ticket"`},
		"a cookie from afar": {"", map[string]string{
			"Authorization": "", "Cookie": cookie, "Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site",
		}, `401 Unauthorized|"member":"Origin"`},
		"a cookie from nowhere": {"", map[string]string{"Authorization": "", "Cookie": cookie}, `401 Unauthorized|"member":"Origin"`},
	} {
		t.Run(name, func(t *testing.T) {
			header := make(map[string]string)
			for _, more := range []map[string]string{handshake, tt.header} {
				maps.Copy(header, more)
			}
			got := s.answer(t, call{path: "/v1/ws?" + tt.query, header: header})
			for part := range strings.SplitSeq(tt.want+"|application/problem+json", "|") {
				if !strings.Contains(got, part) {
					t.Errorf("got %s, want %s", got, part)
				}
			}
		})
	}
	s.socket(t, "", map[string]string{"Authorization": "", "Cookie": cookie, "Origin": "http://" + s.Listener.Addr().String()})
}

func TestATicketOpensOneSocket(t *testing.T) {
	s := open(t, limit.Options{}, nil)
	resp := s.do(t, call{method: http.MethodPost, path: "/v1/tickets"}) //nolint:bodyclose // with the test
	var bought struct{ Ticket string }
	if err := json.NewDecoder(resp.Body).Decode(&bought); err != nil {
		t.Fatal(err)
	}
	c := s.socket(t, "ticket="+bought.Ticket, map[string]string{"Authorization": ""})
	if got := c.ask(t, `{"op":"subscribe","ref":"1","topic":["orders/*"]}`); !strings.Contains(got, `"ok":true`) {
		t.Error(got)
	}
	if strings.Contains(s.log.String(), bought.Ticket) {
		t.Error("the log holds the ticket")
	}
}

func TestSocketsCountAsConnections(t *testing.T) {
	limits := limit.New(limit.Options{ConnectionsPerUser: 1})
	s := open(t, limit.Options{}, func(o *Options) { o.Limits = limits })
	c := s.socket(t, "", nil)
	if got := s.answer(t, call{path: "/v1/stream?topic=orders/*", header: map[string]string{"Roxy-Client": "test"}}); !strings.HasPrefix(got, "429") {
		t.Errorf("got %s", got)
	}
	_ = c.Close()
	for limits.Stats().Connections > 0 { // the test's own deadline ends this if it never comes
		if t.Context().Err() != nil {
			t.Fatal("still counted")
		}
		s.publish(t, nil, `{"topic":"orders/1"}`)
	}
	s.socket(t, "", nil)
}

// What costs as much as a new connection is counted as one.
func TestSubscribingAgainAndAgainIsAnAttempt(t *testing.T) {
	s := open(t, limit.Options{AttemptsPerIP: 1}, nil)
	c := s.socket(t, "", nil)
	limited := false
	for range 20 { // one a second is let through; twenty within one test are not
		limited = limited || strings.Contains(c.ask(t, `{"op":"refresh","ref":"1","token":"guess"}`), `"rate-limited"`)
	}
	if !limited {
		t.Error("twenty tokens were tried")
	}
}

func TestASocketGoesOnUnderAFreshToken(t *testing.T) {
	s := open(t, limit.Options{}, nil)
	expires := time.Now().Add(2 * time.Second)
	short := func(c *auth.Claims) { c.Expires = expires }
	long := func(c *auth.Claims) { c.Expires = time.Now().Add(time.Hour) }
	c := s.socket(t, "", map[string]string{"Authorization": "Bearer " + sign(t, short)})
	other := s.socket(t, "", map[string]string{"Authorization": "Bearer " + sign(t, short)})
	for _, tt := range []struct{ token, want string }{
		{sign(t, func(c *auth.Claims) { c.User = "u8" }), `"not-found"`},
		{sign(t, func(c *auth.Claims) { c.Roles = []string{"boss"} }), `"forbidden"`},
		{"nonsense", `"unauthenticated"`},
	} {
		if got := c.ask(t, fmt.Sprintf(`{"op":"refresh","ref":"1","token":%q}`, tt.token)); !strings.Contains(got, tt.want) {
			t.Errorf("got %s, want %s", got, tt.want)
		}
	}
	if got := c.ask(t, fmt.Sprintf(`{"op":"refresh","ref":"1","token":%q}`, sign(t, long))); !strings.Contains(got, `"ok":true,"connection":"`) || !strings.Contains(got, `"expires":"`) {
		t.Fatal(got)
	}
	// The other one is refreshed over HTTP, as a stream is.
	var subscribed struct{ Connection string }
	if err := json.Unmarshal([]byte(other.ask(t, `{"op":"subscribe","ref":"1","topic":["orders/*"],"heartbeat":"1s"}`)), &subscribed); err != nil {
		t.Fatal(err)
	}
	if got := s.answer(t, call{http.MethodPost, "/v1/sessions/" + subscribed.Connection + "/refresh", map[string]string{"Authorization": "Bearer " + sign(t, long)}, ""}); !strings.HasPrefix(got, "200") {
		t.Fatal(got)
	}
	for time.Now().Before(expires) { // by heartbeats, not by waiting
		other.until(t, "roxy:heartbeat")
	}
	for _, c := range []*socket{c, other} {
		if got := c.ask(t, `{"op":"publish","ref":"1","events":{"topic":"orders/1"}}`); !strings.Contains(got, `"ok":true`) {
			t.Errorf("after the first token: %s", got)
		}
	}
}

// A changed policy and a revocation count for the next message, not for the next connection only.
func TestASocketMayDoWhatItsTokenMaySayNow(t *testing.T) {
	var verifier *auth.Verifier
	s := open(t, limit.Options{}, func(o *Options) { verifier = o.Auth })
	grant := func(topic string) auth.Policy {
		return auth.Policy{Roles: map[string]roxy.Grant{"waiter": {Publish: []roxy.Pattern{pattern(t, topic)}}}}
	}
	verifier.SetPolicy(grant("calls/*"))
	c := s.socket(t, "", map[string]string{"Authorization": "Bearer " + sign(t, func(c *auth.Claims) { c.Roles = []string{"waiter"} })})
	call := `{"op":"publish","ref":"1","events":{"topic":"calls/1"}}`
	if got := c.ask(t, call); !strings.Contains(got, `"ok":true`) {
		t.Errorf("under the policy: %s", got)
	}
	verifier.SetPolicy(grant("nothing"))
	if got := c.ask(t, call); !strings.Contains(got, `"forbidden"`) {
		t.Errorf("under another: %s", got)
	}
}
