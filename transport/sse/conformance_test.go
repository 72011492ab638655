package sse

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/hub"
	"github.com/roxyhub/roxy/transport"
	"github.com/roxyhub/roxy/transport/transporttest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestSSEStreamsAsEveryTransportDoes(t *testing.T) {
	transporttest.Run(t, transporttest.Transport{Handler: handler, Subscribe: subscribe})
}

// handler serves streams as the public listener does, without its limits and tokens.
func handler(h *hub.Hub, who roxy.Identity) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sub, err := transport.ParseSubscription(r.URL.Query(), "", transport.Options{})
		if err == nil {
			sub.Identity = who
			err = Serve(w, r, h, sub)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusForbidden)
		}
	})
}

// subscribe is a client that shares no code with the hub.
func subscribe(conn net.Conn, query url.Values) (func() (transporttest.Event, error), error) {
	if _, err := fmt.Fprintf(conn, "GET /?%s HTTP/1.1\r\nHost: hub\r\n\r\n", query.Encode()); err != nil {
		return nil, err
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil) //nolint:bodyclose // ends with conn
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(resp.Body)
		return nil, fmt.Errorf("%s: %s", resp.Status, text)
	}
	lines := bufio.NewReader(resp.Body)
	return func() (e transporttest.Event, err error) {
		for e.Type = "message"; ; {
			line, err := lines.ReadString('\n')
			if err != nil {
				return e, err
			}
			name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
			switch name {
			case "id":
				e.ID = value
			case "event":
				e.Type = value
			case "data":
				e.Data = value
			case "":
				return e, nil
			}
		}
	}, nil
}
