package sse

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

const patience = 10 * time.Second

// over runs write as the hub does, with a response to one request over a connection without buffers, and gives read the
// client's end of the answer's body. Both run on a clock of their own.
func over(t *testing.T, major int, wrap func(http.ResponseWriter) http.ResponseWriter, write func(*response), read func(io.Reader)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		var protocols http.Protocols
		protocols.SetHTTP1(major == 1)
		protocols.SetUnencryptedHTTP2(major == 2)
		here, there := net.Pipe()
		listener := &one{conn: there, closed: make(chan struct{})}
		server := &http.Server{ReadHeaderTimeout: time.Minute, Protocols: &protocols, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w = wrap(w)
			s := &response{w: w, r: r, control: http.NewResponseController(w)}
			write(s)
			s.SetDeadline(time.Time{}) // as at the end of a stream
			if c := s.Conn(); c != nil {
				_ = c.Close()
			}
		})}
		var serving sync.WaitGroup
		serving.Go(func() { _ = server.Serve(listener) })
		client := &http.Transport{
			Protocols: &protocols, HTTP2: &http.HTTP2Config{MaxReceiveBufferPerStream: 64 << 10},
			DialContext: func(context.Context, string, string) (net.Conn, error) { return here, nil },
		}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://hub/", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		if resp.ProtoMajor != major {
			t.Errorf("%s was spoken", resp.Proto)
		}
		read(resp.Body)
		_ = resp.Body.Close()
		client.CloseIdleConnections()
		_ = here.Close()
		_ = server.Close()
		serving.Wait()
	})
}

// one listens for one connection.
type one struct {
	conn   net.Conn
	closed chan struct{}
	once   sync.Once
}

func (l *one) Accept() (net.Conn, error) {
	if c := l.conn; c != nil {
		l.conn = nil
		return c, nil
	}
	<-l.closed
	return nil, net.ErrClosed
}

func (l *one) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *one) Addr() net.Addr { return &net.TCPAddr{} }

// ways are those on which a response leaves: a connection of its own, and the server's over each version of HTTP.
var ways = map[string]struct {
	major int
	wrap  func(http.ResponseWriter) http.ResponseWriter
}{
	"its own connection": {1, func(w http.ResponseWriter) http.ResponseWriter { return w }},
	"the server's":       {1, func(w http.ResponseWriter) http.ResponseWriter { return kept{w} }},
	"HTTP/2":             {2, func(w http.ResponseWriter) http.ResponseWriter { return w }},
}

// A deadline bounds writes, and nothing else: what has nothing to say for longer goes on.
func TestAQuietStreamOutlastsItsDeadline(t *testing.T) {
	for name, way := range ways {
		t.Run(name, func(t *testing.T) {
			over(t, way.major, way.wrap, func(s *response) {
				for _, text := range []string{"a", "b", "c"} {
					s.SetDeadline(time.Now().Add(patience))
					if err := s.Write([]byte(text)); err != nil {
						t.Errorf("writing %s: %v", text, err)
					}
					time.Sleep(3 * patience)
				}
			}, func(body io.Reader) {
				if text, err := io.ReadAll(body); err != nil || string(text) != "abc" {
					t.Errorf("got %q, %v", text, err)
				}
			})
		})
	}
}

// A write that its client does not take ends when its time is over: also the first, also when the time was shortened
// while it was written, and none that is behind it begins.
func TestAStuckWriteEndsByItsDeadline(t *testing.T) {
	large := make([]byte, 1<<20)
	for name, way := range ways {
		t.Run(name, func(t *testing.T) {
			for _, shorten := range []bool{false, true} {
				over(t, way.major, way.wrap, func(s *response) {
					began, want := time.Now(), patience
					s.SetDeadline(began.Add(patience))
					if err := s.Write([]byte("a")); err != nil {
						t.Error(err)
					}
					if shorten {
						want = patience / 2
						time.AfterFunc(patience/4, func() { s.SetDeadline(began.Add(want)) })
					}
					if err := s.Write(large); err == nil {
						t.Error("a client that reads nothing has taken 1 MiB")
					}
					if took := time.Since(began); took != want {
						t.Errorf("it took %s", took)
					}
					if err := s.Write([]byte("b")); err == nil {
						t.Error("written behind a write that was cut")
					}
				}, func(body io.Reader) {
					if _, err := io.ReadFull(body, make([]byte, 1)); err != nil {
						t.Error(err)
					}
					time.Sleep(2 * patience)
					_, err := io.Copy(io.Discard, body)
					if own := name == "its own connection"; own != (err == nil) { // whose body ends as any does
						t.Errorf("the answer that was cut ended with %v", err)
					} else if errors.Is(err, context.Canceled) {
						t.Error(err)
					}
				})
			}
		})
	}
}
