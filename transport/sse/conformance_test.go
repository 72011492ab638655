package sse

import (
	"bufio"
	"compress/gzip"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/hub"
	"github.com/roxyhub/roxy/transport"
	"github.com/roxyhub/roxy/transport/transporttest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestSSEStreamsAsEveryTransportDoes(t *testing.T) {
	for name, handler := range map[string]func(*hub.Hub, roxy.Identity) http.Handler{"its own connection": handler, "the server's": portable} {
		for _, encoding := range []string{"identity", "gzip"} {
			t.Run(name+", "+encoding, func(t *testing.T) {
				transporttest.Run(t, transporttest.Transport{Handler: handler, Subscribe: func(conn net.Conn, query url.Values) (func() (transporttest.Event, error), error) {
					return subscribe(conn, query, encoding)
				}})
			})
		}
	}
}

func TestSSEOverTLSStreamsAsEveryTransportDoes(t *testing.T) {
	for name, version := range map[string]uint16{"identity": tls.VersionTLS12, "gzip": tls.VersionTLS13} {
		t.Run(name+", "+tls.VersionName(version), func(t *testing.T) {
			transporttest.Run(t, transporttest.Secure(transporttest.Transport{Handler: handler, Subscribe: func(conn net.Conn, query url.Values) (func() (transporttest.Event, error), error) {
				return subscribe(conn, query, name)
			}}, version))
		})
	}
}

func TestSSEOverHTTP2StreamsAsEveryTransportDoes(t *testing.T) {
	for _, encoding := range []string{"identity", "gzip"} {
		t.Run(encoding, func(t *testing.T) {
			transporttest.Run(t, transporttest.Transport{Handler: handler, Subscribe: func(conn net.Conn, query url.Values) (func() (transporttest.Event, error), error) {
				var protocols http.Protocols
				protocols.SetUnencryptedHTTP2(true)
				over := &http.Transport{Protocols: &protocols, DisableCompression: true, DialContext: func(context.Context, string, string) (net.Conn, error) {
					return conn, nil // closed by who gave it
				}}
				req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://hub/?"+query.Encode(), nil)
				if err != nil {
					return nil, err
				}
				req.Header.Set("Accept-Encoding", encoding)
				resp, err := over.RoundTrip(req) //nolint:bodyclose // ends with conn
				if err != nil {
					return nil, err
				}
				if resp.ProtoMajor != 2 {
					return nil, fmt.Errorf("%s was spoken", resp.Proto)
				}
				return events(resp, encoding)
			}})
		})
	}
}

// portable serves streams where a connection cannot be taken from the server: through other people's middleware, say.
func portable(h *hub.Hub, who roxy.Identity) http.Handler {
	next := handler(h, who)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { next.ServeHTTP(kept{w}, r) })
}

// kept is an answer whose connection stays with the server.
type kept struct{ http.ResponseWriter }

func (k kept) FlushError() error { return http.NewResponseController(k.ResponseWriter).Flush() }

func (k kept) SetWriteDeadline(t time.Time) error {
	return http.NewResponseController(k.ResponseWriter).SetWriteDeadline(t)
}

// handler serves streams as the public listener does, without its limits and tokens.
func handler(h *hub.Hub, who roxy.Identity) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sub, err := transport.ParseSubscription(r.URL.Query(), "", transport.Options{})
		if err == nil {
			sub.Identity, sub.Gzip = who, r.Header.Get("Accept-Encoding") == "gzip"
			err = Serve(w, r, h, sub)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusForbidden)
		}
	})
}

// subscribe is a client that shares no code with the hub.
func subscribe(conn net.Conn, query url.Values, encoding string) (func() (transporttest.Event, error), error) {
	if _, err := fmt.Fprintf(conn, "GET /?%s HTTP/1.1\r\nHost: hub\r\nAccept-Encoding: %s\r\n\r\n", query.Encode(), encoding); err != nil {
		return nil, err
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil) //nolint:bodyclose // ends with conn
	if err != nil {
		return nil, err
	}
	return events(resp, encoding)
}

// events returns what reads the events of an answer.
func events(resp *http.Response, encoding string) (func() (transporttest.Event, error), error) {
	var err error
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(resp.Body)
		return nil, fmt.Errorf("%s: %s", resp.Status, text)
	}
	body := io.Reader(resp.Body)
	if got := resp.Header.Get("Content-Encoding"); (got == "gzip") != (encoding == "gzip") {
		return nil, fmt.Errorf("asked for %s, got Content-Encoding %q", encoding, got)
	} else if got == "gzip" {
		if body, err = gzip.NewReader(body); err != nil { // its end is an error when length or sum is wrong
			return nil, err
		}
	}
	lines := bufio.NewReader(body)
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
