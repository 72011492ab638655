package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// frame is one event of a text/event-stream, read by a parser that shares no code with the hub or its client.
type frame struct {
	ID, Event, Data string
}

// stream is an open subscription.
type stream struct {
	body  io.ReadCloser
	lines *bufio.Reader
	last  string // the last id seen
	major int    // of HTTP
}

// open subscribes with the query and fails the test on anything but 200.
func open(t testing.TB, ctx context.Context, hubURL, token string, query url.Values, lastEventID string) *stream {
	t.Helper()
	s, err := tryOpen(ctx, hubURL, token, query, lastEventID)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.body.Close() })
	return s
}

func tryOpen(ctx context.Context, hubURL, token string, query url.Values, lastEventID string) (*stream, error) {
	return tryOpenWith(ctx, http.DefaultClient, hubURL, token, query, lastEventID)
}

func tryOpenWith(ctx context.Context, client *http.Client, hubURL, token string, query url.Values, lastEventID string) (*stream, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, hubURL+"/v1/stream?"+query.Encode(), nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Accept", "text/event-stream")
	if lastEventID != "" {
		req.Header.Set("Last-Event-ID", lastEventID)
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		problem, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<10))
		_ = resp.Body.Close()
		return nil, fmt.Errorf("%s: %s", resp.Status, problem)
	}
	return &stream{body: resp.Body, lines: bufio.NewReader(resp.Body), major: resp.ProtoMajor}, nil
}

// next returns the next event.
func (s *stream) next() (frame, error) {
	var f frame
	for {
		line, err := s.lines.ReadString('\n')
		if err != nil {
			return f, err
		}
		line = strings.TrimSuffix(line, "\n")
		if line == "" {
			if f.Data != "" {
				if f.Event == "" {
					f.Event = "message"
				}
				return f, nil
			}
			continue
		}
		name, value, _ := strings.Cut(line, ": ")
		switch name {
		case "id":
			f.ID, s.last = value, value
		case "event":
			f.Event = value
		case "data":
			f.Data = value
		}
	}
}

// until returns the next event of the type.
func (s *stream) until(t testing.TB, event string) frame {
	t.Helper()
	for {
		f, err := s.next()
		if err != nil {
			t.Fatalf("stream ended before %s: %v", event, err)
		}
		if f.Event == event {
			return f
		}
	}
}

// untilLive returns the events before roxy:live, and that.
func (s *stream) untilLive(t testing.TB) (before []frame, f frame) {
	t.Helper()
	for {
		f, err := s.next()
		if err != nil {
			t.Fatalf("stream ended before it was live: %v (after %d events)", err, len(before))
		}
		if f.Event == "roxy:live" {
			return before, f
		}
		if !strings.HasPrefix(f.Event, "roxy:") {
			before = append(before, f)
		}
	}
}

// event returns the next event that is not the hub's own.
func (s *stream) event() (frame, error) {
	for {
		f, err := s.next()
		if err != nil || !strings.HasPrefix(f.Event, "roxy:") {
			return f, err
		}
	}
}

// data decodes the payload of an event's envelope.
func data[T any](t testing.TB, f frame) T {
	t.Helper()
	var envelope struct {
		Data T `json:"data"`
	}
	if err := json.Unmarshal([]byte(f.Data), &envelope); err != nil {
		t.Fatalf("%s: %v", f.Data, err)
	}
	return envelope.Data
}

// result is the answer to a publish.
type result struct {
	Epoch  string `json:"epoch"`
	Events []struct {
		ID        string `json:"id"`
		Offset    uint64 `json:"offset"`
		Cursor    string `json:"cursor"`
		Duplicate bool   `json:"duplicate"`
	} `json:"events"`
}

// publish posts body, one event or an array, and returns the answer, or an error when there was none or a refusal.
func publish(ctx context.Context, hubURL, token, body string) (result, error) {
	return publishWith(ctx, http.DefaultClient, hubURL, token, body)
}

func publishWith(ctx context.Context, client *http.Client, hubURL, token, body string) (result, error) {
	var r result
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, hubURL+"/v1/events", strings.NewReader(body))
	if err != nil {
		return r, err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", "application/json")
	resp, err := client.Do(req)
	if err != nil {
		return r, err
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return r, err
	}
	if resp.StatusCode != http.StatusOK {
		return r, fmt.Errorf("%s: %s", resp.Status, answer)
	}
	return r, json.Unmarshal(answer, &r)
}

func mustPublish(t testing.TB, hubURL, token, body string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	r, err := publish(ctx, hubURL, token, body)
	if err != nil {
		t.Fatal(err)
	}
	return r
}
