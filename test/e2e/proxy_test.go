package e2e

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/roxyhub/roxy/internal/testkit"
)

// Every client hears of an event before the next one is published, whatever is in between: nothing waits in a compressor or
// in a proxy's buffer. And it is the hub that compresses.
func TestEventsArriveOneByOneThroughWhateverIsBetween(t *testing.T) {
	for name, tt := range map[string]struct {
		site func(string) string // nil: no nginx
		yaml string
		want string // how nginx logs a stream
	}{
		"directly":                      {},
		"nginx, as documented":          {site: func(site string) string { return site }, want: "upstream=gzip client=gzip nginx=-"},
		"nginx, HTTP/1.0 upstream":      {site: func(site string) string { return withHTTP10(withoutTLS(site)) }, want: "upstream=gzip client=gzip nginx=-"},
		"nginx, which compresses alone": {site: withoutTLS, yaml: "stream: { compression: off }\n", want: "upstream=- client=gzip nginx="},
	} {
		t.Run(name, func(t *testing.T) {
			hub := testkit.Start(t, testkit.Config{YAML: "cors: { origins: [\"*\"], credentials: false }\ntrustedProxies: [127.0.0.1]\n" + tt.yaml})
			if tt.site == nil {
				r := startRelay(t, hub)
				streams := oneByOne(t, place{hub: hub, url: r.URL})
				if gzip, deflate := r.count("Content-Encoding", "gzip"), r.count("Sec-Websocket-Extensions", deflated); gzip != streams-1 || deflate != 1 {
					t.Errorf("%d streams with gzip, %d with %s, want %d and 1", gzip, deflate, deflated, streams-1)
				}
				return
			}
			n := startNginx(t, hub, tt.site(site(t)))
			at := place{hub: hub, url: n.URL}
			if strings.HasPrefix(n.URL, "https:") {
				at.roots = n.roots()
			}
			streams := oneByOne(t, at)
			hub.Stop(t)
			for _, line := range n.requests(t, streams) {
				want := tt.want
				if strings.HasPrefix(line, "/v1/ws") {
					want = "nginx=- socket=-"
					if tt.yaml == "" {
						want = "nginx=- socket=" + deflated
					}
				}
				if at.roots != "" && strings.HasPrefix(line, "/v1/stream") && strings.Contains(line, "ticket=") {
					want = "HTTP/2.0 200 " + want // the browser's
				}
				if !strings.Contains(line, want) {
					t.Errorf("%s, want %s", line, want)
				}
			}
		})
	}
}

// deflated begins what the hub answers to a WebSocket that it compresses.
const deflated = "permessage-deflate"

// oneByOne publishes an event when all clients have heard the one before, and returns how many clients there are.
func oneByOne(t *testing.T, at place) (clients int) {
	t.Helper()
	boss := at.hub.Token(t, testkit.Claims{User: "boss", Roles: []string{"everything"}})
	heard := make(map[string]<-chan int)
	for kind, listen := range listeners() {
		heard[kind] = listen(t, at)
	}
	for n := range 8 {
		publishOrder(t, at.hub, boss, n)
		for kind, numbers := range heard {
			hear(t, kind, numbers, n)
		}
	}
	return len(heard)
}

func publishOrder(t *testing.T, hub *testkit.Hub, token string, n int) {
	t.Helper()
	mustPublish(t, hub.URL, token, fmt.Sprintf(`{"topic":"orders/%d","type":"order:new","data":{"n":%d,"lines":[%s"beer"]}}`, n, n, strings.Repeat(`"soup",`, 10*n)))
}

// hear wants the order to be the next that a client hears of.
func hear(t *testing.T, kind string, numbers <-chan int, want int) {
	t.Helper()
	select {
	case got := <-numbers:
		if got != want {
			t.Fatalf("%s: heard order %d, want %d", kind, got, want)
		}
	case <-time.After(30 * time.Second):
		t.Fatalf("%s did not hear of order %d", kind, want)
	}
}

// An nginx that is gone from one moment to the next, and comes back, costs nobody an event: a native EventSource and Go's
// client resume by themselves and hear what was published meanwhile, each event once and in order.
func TestStreamsResumeWhenNginxIsKilled(t *testing.T) {
	reports := make(chan report, 1000)
	var token atomic.Pointer[string]
	page := servePage(t, "testdata/eventsource.html", &token, reports)
	hub := testkit.Start(t, testkit.Config{YAML: "cors: { origins: [\"" + page.URL + "\"] }\ntrustedProxies: [127.0.0.1]\n"})
	token.Store(new(cook(t, hub)))
	boss := hub.Token(t, testkit.Claims{User: "boss", Roles: []string{"everything"}})
	n := startNginx(t, hub, withoutTLS(site(t)))
	browse(t, page.URL+"/?"+url.Values{"stream": {n.URL + "/v1/stream?topic=orders/*"}}.Encode())
	await(t, reports, "roxy:live") // no order is older than that
	clients := map[string]<-chan int{
		"Chromium's EventSource": orders(t, reports),
		"Go's client":            goClient(t, place{hub: hub, url: n.URL}),
	}
	const before, meanwhile, all = 8, 16, 24
	for i := range all {
		switch i {
		case before:
			for kind, numbers := range clients { // so that both have something to resume behind
				for want := range before {
					hear(t, kind, numbers, want)
				}
			}
			n.kill()
			if status := n.status(t); status != 0 {
				t.Fatalf("nginx answers %d %s after it was killed", status, http.StatusText(status))
			}
		case meanwhile:
			n.start(t)
		}
		publishOrder(t, hub, boss, i)
	}
	for kind, numbers := range clients {
		for want := before; want < all; want++ {
			hear(t, kind, numbers, want)
		}
	}
}
