package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/roxyhub/roxy"
)

// script is a hub, as an http.RoundTripper, that answers each request with the next step and says 204 after the last.
// Inside a synctest bubble it lets a test tell exact times.
type script struct {
	steps    []step
	requests []*http.Request
	at       []time.Duration // when each came, since the first
	first    time.Time
}

type step func(*http.Request) (*http.Response, error)

func (s *script) RoundTrip(req *http.Request) (*http.Response, error) {
	if len(s.requests) == 0 {
		s.first = time.Now()
	}
	s.requests = append(s.requests, req)
	s.at = append(s.at, time.Since(s.first))
	if n := len(s.requests); n <= len(s.steps) {
		return s.steps[n-1](req)
	}
	return answer(http.StatusNoContent, "", "")(req)
}

// resumedAt returns the Last-Event-ID of each request.
func (s *script) resumedAt() []string {
	var ids []string
	for _, r := range s.requests {
		ids = append(ids, r.Header.Get("Last-Event-ID"))
	}
	return ids
}

func answer(status int, contentType, body string, headers ...string) step {
	return func(req *http.Request) (*http.Response, error) {
		resp := &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body)), Request: req}
		if contentType != "" {
			resp.Header.Set("Content-Type", contentType)
		}
		for i := 0; i+1 < len(headers); i += 2 {
			resp.Header.Set(headers[i], headers[i+1])
		}
		return resp, nil
	}
}

func problem(status int, code roxy.Code, headers ...string) step {
	return answer(status, "application/problem+json", fmt.Sprintf(`{"status":%d,"code":%q,"detail":"because","member":"topic"}`, status, code), headers...)
}

func refuse(err error) step {
	return func(*http.Request) (*http.Response, error) { return nil, err }
}

// stall is the part of a stream at which the hub says nothing more and keeps the connection.
type stall struct{}

// stream answers 200 and sends parts: a string as it is, a time.Duration as a pause. Behind the last it ends.
func stream(parts ...any) step {
	return func(req *http.Request) (*http.Response, error) {
		r, w := io.Pipe()
		ctx := req.Context()
		stop := context.AfterFunc(ctx, func() { w.CloseWithError(ctx.Err()) })
		go func() {
			defer stop()
			for _, part := range parts {
				switch part := part.(type) {
				case string:
					if _, err := io.WriteString(w, part); err != nil {
						return
					}
				case time.Duration:
					if sleep(ctx, part) != nil {
						return
					}
				case stall:
					<-ctx.Done()
					w.CloseWithError(ctx.Err())
					return
				}
			}
			_ = w.Close()
		}()
		return &http.Response{StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"text/event-stream; charset=utf-8"}}, Body: r, Request: req}, nil
	}
}

func hello(cursor string) string {
	return fmt.Sprintf("id: %s\nevent: roxy:hello\ndata: {\"connection\":\"c1\",\"cursor\":%q,\"epoch\":\"e\",\"heartbeat\":\"15s\",\"time\":\"2026-11-23T20:00:00Z\",\"retry\":500}\n\n", cursor, cursor)
}

// helloView is the hello of a stream that begins with a snapshot, or with the reset of a cursor.
func helloView(view, asked string) string {
	return fmt.Sprintf("event: roxy:hello\ndata: {\"connection\":\"c1\",%s\"view\":%q,\"epoch\":\"e\",\"heartbeat\":\"15s\"}\n\n", asked, view)
}

func entity(topic string, version int, data string) string {
	return fmt.Sprintf("event: roxy:entity\ndata: {\"topic\":%q,\"version\":%d,\"time\":\"2026-11-23T20:00:00Z\",\"data\":%s}\n\n", topic, version, data)
}

// change is the event at offset n of a commit.
func change(n int, topic, op string, version int, patch string) string {
	return fmt.Sprintf("id: e.%d\nevent: entity:updated\ndata: {\"topic\":%q,\"time\":\"2026-11-23T20:00:00Z\",\"by\":\"u7\",\"op\":%q,\"version\":%d,\"base\":%d%s,\"mutation\":\"m%d\"}\n\n",
		n, topic, op, version, version-1, patch, n)
}

func liveWith(cursor string, entities int) string {
	return fmt.Sprintf("id: %s\nevent: roxy:live\ndata: {\"cursor\":%q,\"replayed\":0,\"entities\":%d}\n\n", cursor, cursor, entities)
}

func live(cursor string, replayed int) string {
	return fmt.Sprintf("id: %s\nevent: roxy:live\ndata: {\"cursor\":%q,\"replayed\":%d}\n\n", cursor, cursor, replayed)
}

func event(n int) string {
	return fmt.Sprintf("id: e.%d\nevent: order:new\ndata: {\"topic\":\"orders/%d\",\"time\":\"2026-11-23T20:00:00Z\",\"by\":\"u7\",\"correlation\":\"c%d\",\"data\":{\"n\":%d}}\n\n", n, n, n, n)
}

// critical is a critical event in the order of the log.
func critical(n int) string {
	return fmt.Sprintf("id: e.%d\n", n) + offered(n, 1)
}

// offered is a critical event that was not confirmed, outside the order of the log.
func offered(n, attempt int) string {
	return fmt.Sprintf("event: order:new\ndata: {\"topic\":\"orders/%d\",\"time\":\"2026-11-23T20:00:00Z\",\"ack\":{\"id\":\"e.%d\",\"by\":\"device\"},\"attempt\":%d,\"data\":null}\n\n", n, n, attempt)
}

func reset(reason, cursor string) string {
	return fmt.Sprintf("id: %s\nevent: roxy:reset\ndata: {\"reason\":%q,\"cursor\":%q}\n\n", cursor, reason, cursor)
}

func bye(reason string, retry time.Duration) string {
	return fmt.Sprintf("retry: %d\nevent: roxy:bye\ndata: {\"reason\":%q,\"retry\":%d}\n\n", retry.Milliseconds(), reason, retry.Milliseconds())
}

func beat(cursor string) string {
	return fmt.Sprintf("id: %s\nevent: roxy:heartbeat\ndata: {\"time\":\"2026-11-23T20:00:00Z\",\"cursor\":%q}\n\n", cursor, cursor)
}

func mustNew(t *testing.T, opts Options) *Client {
	t.Helper()
	if opts.URL == "" {
		opts.URL = "http://hub.example/base"
	}
	c, err := New(opts)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func orders(t *testing.T) roxy.Pattern {
	t.Helper()
	p, err := roxy.ParsePattern("orders/*")
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func cursor(t *testing.T, s string) roxy.Cursor {
	t.Helper()
	c, err := roxy.ParseCursor(s)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// follow runs a subscription against s in a bubble and returns what it yielded, one word each, and the error at its end.
func follow(t *testing.T, s *script, sub Subscription, opts Options) (got []string, end error) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		opts.HTTPClient = &http.Client{Transport: s, Timeout: time.Second}
		sub.Patterns = []roxy.Pattern{orders(t)}
		for m, err := range mustNew(t, opts).Subscribe(t.Context(), sub) {
			if err != nil {
				if m != nil || end != nil {
					t.Errorf("%v comes with %v, after %v", err, m, end)
				}
				end = err
				continue
			}
			got = append(got, word(m))
		}
	})
	return got, end
}

func word(m Message) string {
	switch m := m.(type) {
	case Event:
		if m.Ephemeral {
			return "~" + m.Type
		}
		if m.Ack != nil && m.Cursor.Epoch == "" {
			return fmt.Sprintf("%s#%d", m.AckID, m.Attempt)
		}
		return m.Cursor.String()
	case AckNews:
		return fmt.Sprintf("news(%s %s%s by %s/%s %s)", m.ID, m.Status, m.Settled, m.User, m.Device, m.Reason)
	case Reset:
		return "reset(" + m.Reason + " " + m.Cursor.String() + ")"
	case Snapshot:
		return "snapshot"
	case Entity:
		return fmt.Sprintf("%s=%d%s", m.Topic, m.Version, m.Data)
	case Receipt:
		return fmt.Sprintf("receipt(%s %s)", m.ID, m.Outcome)
	case Presence:
		return presenceWord(m)
	case Live:
		if m.Entities > 0 {
			return fmt.Sprintf("live(%s %d %d)", m.Cursor, m.Replayed, m.Entities)
		}
		return fmt.Sprintf("live(%s %d)", m.Cursor, m.Replayed)
	default:
		return fmt.Sprintf("%T", m)
	}
}

var errCable = errors.New("the cable is cut")
