package httpapi

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/limit"
)

func TestPublishLimitHoldsOneEventAndNeverMuchMore(t *testing.T) {
	for _, tt := range []struct {
		event, batch int
		want         int64
	}{
		{64 << 10, 1, 65 << 10},
		{64 << 10, 3, 3 * (65 << 10)},
		{64 << 10, 1000, maxBody},
		{16 << 20, 1000, 16<<20 + envelope},
	} {
		if got := publishLimit(tt.event, tt.batch); got != tt.want {
			t.Errorf("publishLimit(%d, %d) = %d, want %d", tt.event, tt.batch, got, tt.want)
		}
	}
}

// A body of unknown length is cut off where the limit is, not read to its end.
func TestABodyWithoutLengthIsLimited(t *testing.T) {
	s := open(t, limit.Options{}, func(o *Options) { o.MaxBatch = 1 })
	endless := io.MultiReader(bytes.NewReader([]byte(`{"topic":"orders/1","data":"`)), zeros{})
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+"/v1/events", io.LimitReader(endless, 1<<30))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+sign(t, nil))
	r.Header.Set("Content-Type", "application/json")
	resp, err := s.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("status %s", resp.Status)
	}
}

// zeros is an endless row of the digit 0.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = '0'
	}
	return len(p), nil
}

// A body that trickles in is given up, and so is one that nobody reads: either would hold a connection for ever.
func TestASlowBodyIsGivenUp(t *testing.T) {
	for name, tt := range map[string]struct {
		handler func(a *api) handler
		status  int
	}{
		"while it is read": {func(a *api) handler {
			return func(x *exchange, r *http.Request) error {
				_, err := a.readBody(x, r, roxy.InvalidEvent)
				return err
			}
		}, http.StatusBadRequest},
		"when it is left unread": {func(*api) handler { return unknownPath }, http.StatusNotFound},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := &api{Options: Options{Logger: slog.New(slog.DiscardHandler)}, maxBody: maxBody}
				client, peer := net.Pipe()
				connections := make(pipeListener, 1)
				connections <- peer
				server := &http.Server{Handler: a.serve(tt.handler(a)), ReadHeaderTimeout: time.Second}
				served := make(chan error)
				go func() { served <- server.Serve(connections) }()
				began := time.Now()
				if _, err := io.WriteString(client, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nsome"); err != nil {
					t.Error(err)
				}
				resp, err := http.ReadResponse(bufio.NewReader(client), nil)
				if err != nil {
					t.Fatal(err)
				}
				_, _ = io.Copy(io.Discard, resp.Body) // to the end of the connection, or of the answer
				_ = resp.Body.Close()
				if took := time.Since(began); resp.StatusCode != tt.status || took > bodyTimeout {
					t.Errorf("answered %s after %s", resp.Status, took)
				}
				if _, err := client.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
					t.Errorf("the connection goes on: %v", err)
				}
				if took := time.Since(began); took > bodyTimeout+time.Second {
					t.Errorf("closed after %s", took)
				}
				if err := server.Close(); err != nil {
					t.Error(err)
				}
				if err := <-served; !errors.Is(err, http.ErrServerClosed) {
					t.Error(err)
				}
			})
		})
	}
}

// pipeListener accepts what it is sent.
type pipeListener chan net.Conn

func (l pipeListener) Accept() (net.Conn, error) {
	if c, ok := <-l; ok {
		return c, nil
	}
	return nil, net.ErrClosed
}

func (l pipeListener) Close() error {
	close(l)
	return nil
}

func (pipeListener) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)} }

// BenchmarkPublishEphemeral is all that a publish costs but for net/http and the engine: the token, the body, the
// limits, the dispatch and the answer.
func BenchmarkPublishEphemeral(b *testing.B) { benchmarkPublish(b, true) }

// BenchmarkPublishInMemory adds the commit of one publisher, on a disk without latency.
func BenchmarkPublishInMemory(b *testing.B) { benchmarkPublish(b, false) }

func benchmarkPublish(b *testing.B, ephemeral bool) {
	b.Helper()
	s := open(b, limit.Options{PublishRate: -1, PublishTenantRate: -1}, func(o *Options) { o.Logger = nil })
	body := bytes.Replace(benchmarkEvent(1), []byte(`"id":"tablet-7-1",`), nil, 1)
	if ephemeral {
		body = append(body[:len(body)-1], `,"ephemeral":true}`...)
	}
	bearer := "Bearer " + sign(b, nil)
	b.ReportAllocs()
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		r := httptest.NewRequestWithContext(b.Context(), http.MethodPost, "/v1/events", bytes.NewReader(body))
		r.Header.Set("Authorization", bearer)
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		s.Config.Handler.ServeHTTP(w, r)
		if w.Code != http.StatusOK {
			b.Fatal(w.Body)
		}
	}
}
