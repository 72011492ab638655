package httpapi

import (
	"net/http"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/roxyhub/roxy/auth"
	"github.com/roxyhub/roxy/limit"
)

// Each refusal that a client can provoke, byte for byte.
func TestRefusals(t *testing.T) {
	s := open(t, limit.Options{PublishRate: -1, PublishTenantRate: -1}, func(o *Options) { o.MaxBatch, o.MaxTopicsPerStream = 3, 2 })
	event := func(more string) string { return `{"topic":"orders/1"` + more + `}` }
	if got := s.answer(t, call{http.MethodPost, "/v1/events", nil, event(`,"id":"used","data":1`)}); !strings.HasPrefix(got, "200") {
		t.Fatal(got)
	}
	expired := "Bearer " + sign(t, func(c *auth.Claims) { c.Expires = time.Now().Add(-time.Hour) })
	for name, c := range map[string]call{
		"unauthenticated":                 {http.MethodPost, "/v1/events", map[string]string{"Authorization": ""}, event("")},
		"unauthenticated before the body": {http.MethodPost, "/v1/events", map[string]string{"Authorization": ""}, `{`},
		"unauthenticated by a bad token":  {http.MethodPost, "/v1/events", map[string]string{"Authorization": "Bearer x.y.z"}, event("")},
		"unauthenticated on stream":       {"", "/v1/stream?topic=orders/*", map[string]string{"Authorization": ""}, ""},
		"unauthenticated for a ticket":    {http.MethodPost, "/v1/tickets", map[string]string{"Authorization": ""}, ""},
		"token expired":                   {http.MethodPost, "/v1/events", map[string]string{"Authorization": expired}, event("")},
		"token in url":                    {"", "/v1/stream?topic=orders/*&ticket=" + strings.TrimPrefix(expired, "Bearer "), map[string]string{"Authorization": ""}, ""},
		"ticket for a ticket":             {http.MethodPost, "/v1/tickets?ticket=abc", nil, ""},
		"forbidden topic":                 {http.MethodPost, "/v1/events", nil, `{"topic":"tables/1"}`},
		"forbidden topic in an array":     {http.MethodPost, "/v1/events", nil, `[{"topic":"orders/1"},{"topic":"tables/1"}]`},
		"forbidden topic alone in array":  {http.MethodPost, "/v1/events", nil, `[{"topic":"tables/1"}]`},
		"forbidden topic of a CloudEvent": {http.MethodPost, "/v1/events", map[string]string{"Content-Type": "application/cloudevents+json"}, strings.Replace(structuredWith(`"x":"y"`), `"a"`, `"tables/1"`, 1)},
		"forbidden pattern":               {"", "/v1/stream?topic=tables/*", nil, ""},
		"invalid topic":                   {http.MethodPost, "/v1/events", nil, `{"topic":"orders//1"}`},
		"reserved topic":                  {http.MethodPost, "/v1/events", nil, `{"topic":"roxy/dead-letters"}`},
		"invalid pattern":                 {"", "/v1/stream?topic=**/a", nil, ""},
		"invalid event":                   {http.MethodPost, "/v1/events", nil, event(`,"to":{"roles":["a",7]}`)},
		"reserved type":                   {http.MethodPost, "/v1/events", nil, event(`,"type":"roxy:hello"`)},
		"reserved type of a CloudEvent":   {http.MethodPost, "/v1/events", map[string]string{"Content-Type": "application/cloudevents+json"}, strings.Replace(structuredWith(`"x":"y"`), `"t"`, `"roxy:hello"`, 1)},
		"nobody who must confirm":         {http.MethodPost, "/v1/events", nil, event(`,"ack":{"within":"30s"}`)},
		"confirmed by everybody":          {http.MethodPost, "/v1/events", nil, event(`,"ack":{"by":"everybody"}`)},
		"confirmed within a blink":        {http.MethodPost, "/v1/events", nil, "[" + event(`,"ack":{"by":"any","within":"1ms"}`) + "]"},
		"confirmed after no attempt":      {http.MethodPost, "/v1/events", nil, event(`,"ack":{"by":"any","attempts":0}`)},
		"confirmed and ephemeral":         {http.MethodPost, "/v1/events", nil, event(`,"ack":{"by":"any"},"ephemeral":true`)},
		"a body that is not JSON":         {http.MethodPost, "/v1/events", nil, "topic=orders/1"},
		"an array of too many":            {http.MethodPost, "/v1/events", nil, "[" + strings.Repeat(event("")+",", 3) + event("") + "]"},
		"event too large":                 {http.MethodPost, "/v1/events", nil, event(`,"data":"` + strings.Repeat("x", 64<<10) + `"`)},
		"body too large":                  {http.MethodPost, "/v1/events", nil, event(`,"data":"` + strings.Repeat("x", 3*(65<<10)) + `"`)},
		"key and id differ":               {http.MethodPost, "/v1/events", map[string]string{"Idempotency-Key": `"other"`}, event(`,"id":"one"`)},
		"key with an array":               {http.MethodPost, "/v1/events", map[string]string{"Idempotency-Key": "k"}, "[" + event("") + "]"},
		"key with a CloudEvent":           {http.MethodPost, "/v1/events", map[string]string{"Idempotency-Key": "k", "Content-Type": "application/cloudevents+json"}, strings.Replace(structuredWith(`"x":"y"`), `"a"`, `"orders/1"`, 1)},
		"key reused":                      {http.MethodPost, "/v1/events", nil, event(`,"id":"used","data":2`)},
		"unknown parameter":               {"", "/v1/stream?topic=orders/*&topics=x", nil, ""},
		"no topic":                        {"", "/v1/stream", nil, ""},
		"too many patterns":               {"", "/v1/stream?topic=orders/1&topic=orders/2&topic=orders/3", nil, ""},
		"a broken query":                  {"", "/v1/stream?topic=%zz", nil, ""},
		"a broken cursor":                 {"", "/v1/stream?topic=orders/*", map[string]string{"Last-Event-ID": "nonsense"}, ""},
		"an unsafe echo":                  {"", "/v1/ping?t=%3Cscript%3E", nil, ""},
		"not found":                       {"", "/v1/nowhere", nil, ""},
		"not found at the root":           {"", "/", nil, ""},
		"a connection not found":          {http.MethodPost, "/v1/sessions/nobody/refresh", nil, ""},
		"method not allowed":              {http.MethodDelete, "/v1/events", nil, ""},
		"a stream by POST":                {http.MethodPost, "/v1/stream?topic=orders/*", nil, ""},
		"a form":                          {http.MethodPost, "/v1/events", map[string]string{"Content-Type": "application/x-www-form-urlencoded"}, "topic=orders/1"},
		"no media type":                   {http.MethodPost, "/v1/events", map[string]string{"Content-Type": ""}, event("")},
		"JSON in Latin-1":                 {http.MethodPost, "/v1/events", map[string]string{"Content-Type": "application/json; charset=iso-8859-1"}, event("")},
		"a packed body":                   {http.MethodPost, "/v1/events", map[string]string{"Content-Encoding": "gzip"}, event("")},
		"CloudEvents in Avro":             {http.MethodPost, "/v1/events", map[string]string{"Content-Type": "application/cloudevents+avro", "ce-specversion": "1.0"}, event("")},
		"not acceptable":                  {"", "/v1/stream?topic=orders/*", map[string]string{"Accept": "application/json"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			golden(t, filepath.Join("testdata", "refusals", strings.ReplaceAll(name, " ", "-")+".http"), s.answer(t, c))
		})
	}
	if t.Failed() {
		return
	}
	golden(t, filepath.Join("testdata", "refusals", "the-log-holds-nothing.http"), s.answer(t, call{http.MethodPost, "/v1/events", nil, event(`,"id":"next"`)}))
}

func TestRefusalsForLoad(t *testing.T) {
	s := open(t, limit.Options{ConnectionsPerUser: -1, ConnectionsPerIP: 1, PublishRate: 0.001, PublishBurst: 2}, func(o *Options) {
		o.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}
	})
	client := map[string]string{"Roxy-Client": "test"}
	post := call{http.MethodPost, "/v1/events", nil, `{"topic":"orders/1"}`}
	file := func(name string) string { return filepath.Join("testdata", "refusals", name+".http") }

	golden(t, file("a-publish-tells-the-limit"), s.answer(t, post))
	s.answer(t, post)
	refused := s.answer(t, post)
	if !strings.HasPrefix(refused, "429") {
		t.Errorf("a third publish of two: %s", refused)
	}
	golden(t, file("rate-limited"), refused)

	first := s.stream(t, call{path: "/v1/stream?topic=orders/*"})
	golden(t, file("too-many-connections"), s.answer(t, call{path: "/v1/stream?topic=orders/*", header: client}))
	first.Close()

	if err := s.hub.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	elsewhere := map[string]string{"Roxy-Client": "test", "X-Forwarded-For": "192.0.2.9"}
	golden(t, file("shutting-down"), s.answer(t, call{path: "/v1/stream?topic=orders/*", header: elsewhere}))
	if err := s.engine.Close(); err != nil {
		t.Fatal(err)
	}
	golden(t, file("not-ready"), s.answer(t, call{path: "/v1/stream?topic=orders/*", header: elsewhere}))
	delete(elsewhere, "Roxy-Client")
	if m := s.stream(t, call{path: "/v1/stream?topic=orders/*", header: elsewhere}).next(t); m.event != "roxy:bye" {
		t.Errorf("an EventSource: %+v", m)
	}
	if log := s.log.String(); strings.Count(log, `"code":"not-ready"`) < 2 || !strings.Contains(log, `"msg":"request failed"`) {
		t.Errorf("the log does not tell the operator: %s", log)
	}
	other := map[string]string{"Authorization": "Bearer " + sign(t, func(c *auth.Claims) { c.User = "u8" })}
	golden(t, file("overloaded"), s.answer(t, call{http.MethodPost, "/v1/events", other, post.body}))
}
