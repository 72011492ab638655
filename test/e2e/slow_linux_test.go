package e2e

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/roxyhub/roxy/internal/testkit"
)

// A client that stops reading one of its streams loses that one, by the hub's limit; the others on the same connection
// go on, also one that had nothing to say for all that time.
func TestStuckStreamOverHTTP2EndsAloneAndQuietOnesStay(t *testing.T) {
	t.Parallel()
	hub := watch(t, testkit.Config{TLS: true, YAML: "stream: { heartbeat: 1m }\n"})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	token := hub.Token(t, testkit.Claims{User: "boss", Roles: []string{"everything"}})
	client, dialled := httpOver(hub.Trust(t), http2)
	client.Transport.(*http.Transport).HTTP2 = &http.HTTP2Config{MaxReceiveBufferPerStream: 64 << 10} //nolint:forcetypeassert // httpOver's
	defer client.CloseIdleConnections()
	subscribe := func(topic string) *stream {
		t.Helper()
		s, err := tryOpenWith(ctx, client, hub.URL, token, url.Values{"topic": {topic}}, "")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.body.Close() })
		s.until(t, "roxy:live")
		return s
	}
	stuck, busy, quiet := subscribe("orders/*"), subscribe("orders/*"), subscribe("calls/*")
	ended := func() float64 { return hub.metrics(t)[`roxy_streams_ended_total{reason="slow"}`] }
	const n = 40
	for range n {
		if _, err := publishWith(ctx, client, hub.URL, token, `{"topic":"orders/1","type":"order:new","data":"`+strings.Repeat("x", 32<<10)+`"}`); err != nil {
			t.Fatal(err)
		}
		busy.until(t, "order:new")
	}
	until(t, 40*time.Second, "the stuck stream has ended as slow", func() bool { return ended() == 1 })
	for _, topic := range []string{"orders/1", "calls/1"} {
		if _, err := publishWith(ctx, client, hub.URL, token, `{"topic":"`+topic+`","type":"late","data":1}`); err != nil {
			t.Fatal(err)
		}
	}
	busy.until(t, "late")
	quiet.until(t, "late")
	for err := error(nil); err == nil; {
		var f frame
		if f, err = stuck.next(); f.Event == "late" {
			t.Fatal("the stuck stream went on")
		}
	}
	if got := dialled.Load(); got != 1 {
		t.Errorf("%d connections: the stuck stream took its neighbours' with it", got)
	}
}
