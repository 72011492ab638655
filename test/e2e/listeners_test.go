package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/client"
	"github.com/roxyhub/roxy/internal/testkit"
)

// place is where clients reach a hub.
type place struct {
	hub   *testkit.Hub
	url   string
	roots string // PEM file that vouches for it, "" without TLS
}

// stream returns the address of all orders.
func (p place) stream() string { return p.url + "/v1/stream?topic=orders/*&after=earliest" }

// listener is a client of some kind: it hands over the number of each order that it hears, until the test ends.
type listener func(t *testing.T, at place) <-chan int

// listeners are those that people use.
func listeners() map[string]listener {
	return map[string]listener{
		"curl --compressed -N":   curlClient,
		"Node's fetch":           nodeClient,
		"Go's client":            goClient,
		"Chromium's EventSource": eventSource,
		"Chromium's WebSocket":   webSocket,
	}
}

func curlClient(t *testing.T, at place) <-chan int {
	t.Helper()
	args := []string{"--compressed", "-fsSN", "-H", "Authorization: Bearer " + cook(t, at.hub), at.stream()}
	if at.roots != "" {
		args = append(args, "--cacert", at.roots)
	}
	return printed(t, exec.CommandContext(t.Context(), "curl", args...))
}

func nodeClient(t *testing.T, at place) <-chan int {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "node", "testdata/fetch.mjs", at.stream())
	cmd.Env = append(os.Environ(), "ROXY_TOKEN="+cook(t, at.hub), "NODE_EXTRA_CA_CERTS="+at.roots)
	return printed(t, cmd)
}

func goClient(t *testing.T, at place) <-chan int {
	t.Helper()
	transport := &http.Transport{ForceAttemptHTTP2: true}
	if at.roots != "" {
		text, err := os.ReadFile(at.roots)
		if err != nil {
			t.Fatal(err)
		}
		transport.TLSClientConfig = testkit.Trust(t, text)
	}
	token := cook(t, at.hub)
	c, err := client.New(client.Options{
		URL: at.url, Token: func(context.Context) (string, error) { return token, nil }, HTTPClient: &http.Client{Transport: transport},
	})
	if err != nil {
		t.Fatal(err)
	}
	pattern, err := roxy.ParsePattern("orders/*")
	if err != nil {
		t.Fatal(err)
	}
	heard, done := make(chan int, 100), make(chan struct{})
	go func() {
		defer close(done)
		for m, err := range c.Subscribe(t.Context(), client.Subscription{Patterns: []roxy.Pattern{pattern}, Earliest: true}) {
			if err != nil {
				return // the test is over
			}
			if e, ok := m.(client.Event); ok {
				var order struct{ N int }
				if json.Unmarshal(e.Data, &order) == nil {
					heard <- order.N
				}
			}
		}
	}()
	t.Cleanup(func() {
		<-done
		transport.CloseIdleConnections()
	})
	return heard
}

func eventSource(t *testing.T, at place) <-chan int {
	t.Helper()
	return inPage(t, "testdata/eventsource.html", url.Values{"credentials": {"omit"}, "stream": {at.stream() + "&ticket=" + ticket(t, at.hub.URL, cook(t, at.hub))}})
}

func webSocket(t *testing.T, at place) <-chan int {
	t.Helper()
	return inPage(t, "testdata/websocket.html", url.Values{
		"socket": {strings.Replace(at.url, "http", "ws", 1) + "/v1/ws?ticket=" + ticket(t, at.hub.URL, cook(t, at.hub))},
		"say":    {`{"op":"subscribe","ref":"s","topic":["orders/*"],"after":"earliest"}`},
	})
}

func cook(t *testing.T, hub *testkit.Hub) string {
	t.Helper()
	return hub.Token(t, testkit.Claims{User: "cook", Roles: []string{"kitchen"}})
}

var numbered = regexp.MustCompile(`"n":(\d+)`)

// printed runs a program that prints a stream, which ends with the test's context.
func printed(t *testing.T, cmd *exec.Cmd) <-chan int {
	t.Helper()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		t.Fatalf("%v: install it with test/install.sh", err)
	}
	heard, done := make(chan int, 100), make(chan struct{})
	go func() {
		defer close(done)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if m := numbered.FindStringSubmatch(lines.Text()); m != nil {
				n, _ := strconv.Atoi(m[1])
				heard <- n
			}
		}
	}()
	t.Cleanup(func() {
		<-done
		if _ = cmd.Wait(); t.Failed() {
			t.Logf("%s: %s", cmd.Path, said.String())
		}
	})
	return heard
}

// inPage opens a page in Chromium that reports a stream.
func inPage(t *testing.T, file string, query url.Values) <-chan int {
	t.Helper()
	reports := make(chan report, 1000)
	page := servePage(t, file, &atomic.Pointer[string]{}, reports)
	browse(t, page.URL+"/?"+query.Encode())
	return orders(t, reports)
}

// orders picks the numbers of the orders from what a page reports.
func orders(t *testing.T, reports <-chan report) <-chan int {
	t.Helper()
	heard := make(chan int, 100)
	go func() {
		for {
			select {
			case r := <-reports:
				if m := numbered.FindStringSubmatch(r.Data); m != nil && r.Type == "order:new" {
					n, _ := strconv.Atoi(m[1])
					heard <- n
				}
			case <-t.Context().Done():
				return
			}
		}
	}()
	return heard
}
