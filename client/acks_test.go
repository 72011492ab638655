package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/roxyhub/roxy"
)

// desk is a script of streams that takes acknowledgements, too, and answers them with the next of its own steps; behind the
// last it confirms everything.
type desk struct {
	script

	mu    sync.Mutex
	acks  []step
	said  []string // delivered+ids of each call
	heard []time.Duration
}

func (d *desk) RoundTrip(req *http.Request) (*http.Response, error) {
	if !strings.HasSuffix(req.URL.Path, "/v1/acks") {
		return d.script.RoundTrip(req)
	}
	var said struct {
		Device, Delivered string
		IDs               []string
	}
	text, err := io.ReadAll(req.Body)
	if err == nil {
		err = json.Unmarshal(text, &said, json.MatchCaseInsensitiveNames(true))
	}
	if err != nil || said.Device != "bar-1" {
		return nil, fmt.Errorf("sent %q: %w", text, err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.said = append(d.said, strings.Join(append([]string{said.Delivered}, said.IDs...), "+"))
	d.heard = append(d.heard, time.Since(d.first))
	if n := len(d.said); n <= len(d.acks) {
		return d.acks[n-1](req)
	}
	results := make([]string, len(said.IDs))
	for i, id := range said.IDs {
		results[i] = fmt.Sprintf(`{"id":%q,"status":"confirmed"}`, id)
	}
	return answer(200, "application/json", `{"device":"bar-1","cursor":"e.1","results":[`+strings.Join(results, ",")+`]}`)(req)
}

// attend follows d in a bubble as its device and returns what was yielded, one word each. handle is called with each
// message; false ends the iteration.
func attend(t *testing.T, d *desk, sub Subscription, handle func(*Client, Message) bool) (got []string, end error) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c := mustNew(t, Options{HTTPClient: &http.Client{Transport: d}})
		sub.Patterns, sub.Device = []roxy.Pattern{orders(t)}, "bar-1"
		for m, err := range c.Subscribe(t.Context(), sub) {
			if err != nil {
				end = err
				continue
			}
			got = append(got, word(m))
			if handle != nil && !handle(c, m) {
				break
			}
		}
	})
	return got, end
}

// quiet is the part of a stream in which there is nothing for it for as long.
func quiet(at string, d time.Duration) []any {
	const every = 15 * time.Second
	return slices.Repeat([]any{every, beat(at)}, int(d/every))
}

func TestSubscribeAcknowledges(t *testing.T) {
	hundred := ""
	for n := range 100 {
		hundred += event(n + 2)
	}
	for name, tt := range map[string]struct {
		steps []step
		sub   Subscription
		leave string // the message of which the caller leaves
		want  []string
		at    time.Duration // of the first call
	}{
		"what comes together in one call, a moment after the first": {
			steps: []step{stream(hello("e.1"), live("e.1", 0), event(2), 30*time.Millisecond, event(3), 19*time.Millisecond, event(4), time.Second)},
			want:  []string{"e.4"}, at: 50 * time.Millisecond,
		},
		"a hundred events at once": {
			steps: []step{stream(hello("e.1"), live("e.1", 0), hundred, time.Second)},
			want:  []string{"e.101"}, at: 0,
		},
		"what was caught up at once": {
			steps: []step{stream(hello("e.1"), event(2), live("e.7", 1), time.Second)},
			want:  []string{"e.7"}, at: 0,
		},
		"nothing that the hub knows":                         {steps: []step{stream(hello("e.5"), live("e.5", 0), beat("e.5"), time.Second), stream(hello("e.5"), live("e.5", 0))}},
		"nothing for ephemeral events":                       {steps: []step{stream(hello("e.5"), live("e.5", 0), strings.TrimPrefix(event(7), "id: e.7\n"), time.Second)}},
		"what was handled before the caller left, not more":  {steps: []step{stream(hello("e.1"), event(2), event(3), stall{})}, leave: "e.3", want: []string{"e.2"}},
		"nothing of what was left in the middle":             {steps: []step{stream(hello("e.1"), event(2), stall{})}, leave: "e.2"},
		"critical events as delivered, which confirms none":  {steps: []step{stream(hello("e.1"), critical(2), time.Second)}, want: []string{"e.2"}, at: 50 * time.Millisecond},
		"critical events as confirmed, if that is wanted":    {steps: []step{stream(hello("e.1"), critical(2), critical(3), time.Second)}, sub: Subscription{Confirm: true}, want: []string{"e.3+e.2+e.3"}, at: 50 * time.Millisecond},
		"an offered event, which delivers nothing before it": {steps: []step{stream(hello("e.9"), offered(3, 2), live("e.9", 0), time.Second)}, sub: Subscription{Confirm: true}, want: []string{"+e.3"}},
		"where it goes on after a reset":                     {steps: []step{stream(hello("e.5"), reset("overflow", "e.90"), live("e.90", 0), time.Second)}, want: []string{"e.90"}},
		"nothing in a snapshot, and all behind it": {
			steps: []step{stream(helloView("v1", ""), entity("orders/1", 1, `{}`), time.Second, liveWith("e.11", 1), time.Second)},
			want:  []string{"e.11"}, at: time.Second,
		},
		"in time for retention what was not for the device": {
			steps: []step{stream(append([]any{hello("e.1"), beat("e.2")}, quiet("e.50", 11*time.Minute)...)...)},
			want:  []string{"e.50"}, at: acksIdle,
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := &desk{script: script{steps: tt.steps}}
			_, err := attend(t, d, tt.sub, func(_ *Client, m Message) bool { return word(m) != tt.leave })
			if err != nil || !slices.Equal(d.said, tt.want) || len(d.heard) > 0 && d.heard[0] != tt.at {
				t.Errorf("the hub heard %q at %s, %v; want %q at %s", d.said, d.heard, err, tt.want, tt.at)
			}
		})
	}
}

// What could not be told is told with what follows, when the hub is to be asked again.
func TestSubscribeAcknowledgesUntilTheHubHasAnswered(t *testing.T) {
	d := &desk{
		script: script{steps: []step{
			stream(slices.Concat([]any{hello("e.1"), critical(2)}, quiet("e.2", time.Minute), []any{event(3)}, quiet("e.3", 5*time.Minute))...),
		}},
		acks: []step{
			refuse(errCable), answer(200, "application/json", "ok"), problem(401, roxy.TokenExpired),
			problem(429, roxy.RateLimited, "Retry-After", "120"),
		},
	}
	_, err := attend(t, d, Subscription{Confirm: true}, nil)
	want := []string{"e.2+e.2", "e.2+e.2", "e.2+e.2", "e.2+e.2", "e.3+e.2"}
	if err != nil || !slices.Equal(d.said, want) {
		t.Fatalf("the hub heard %q, %v; want %q", d.said, err, want)
	}
	if gap := d.heard[4] - d.heard[3]; gap != 2*time.Minute {
		t.Errorf("asked to wait two minutes, it waited %s", gap)
	}
}

func TestSubscribeDoesNotRepeatWhatTheHubRefuses(t *testing.T) {
	d := &desk{
		script: script{steps: []step{stream(append([]any{hello("e.1"), critical(2)}, quiet("e.2", time.Minute)...)...)}},
		acks:   []step{problem(404, roxy.NotFound)},
	}
	if _, err := attend(t, d, Subscription{Confirm: true}, nil); err != nil || !slices.Equal(d.said, []string{"e.2+e.2"}) {
		t.Fatalf("the hub heard %q, %v", d.said, err)
	}
}

// At its end a subscription waits for the hub, but not for ever.
func TestSubscribeEndsWithoutAnAnswer(t *testing.T) {
	d := &desk{
		script: script{steps: []step{stream(hello("e.1"), event(2), stall{})}},
		acks: []step{func(req *http.Request) (*http.Response, error) {
			<-req.Context().Done()
			return nil, req.Context().Err()
		}},
	}
	var last time.Time
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		c := mustNew(t, Options{HTTPClient: &http.Client{Transport: d}})
		for _, err := range c.Subscribe(ctx, Subscription{Patterns: []roxy.Pattern{orders(t)}, Device: "bar-1"}) {
			last = time.Now()
			if err != nil && !errors.Is(err, context.DeadlineExceeded) {
				t.Error(err)
			}
		}
		if waited := last.Sub(d.first); waited != 10*time.Millisecond+acksLast {
			t.Errorf("the end came after %s", waited)
		}
	})
	if !slices.Equal(d.said, []string{"e.2"}) {
		t.Errorf("the hub heard %q", d.said)
	}
}

func TestSubscribeYieldsACriticalEventOnce(t *testing.T) {
	for name, tt := range map[string]struct {
		steps []step
		sub   Subscription
		want  []string
		said  []string
	}{
		"when it comes again": {
			steps: []step{stream(hello("e.1"), critical(2), time.Second, offered(2, 2), time.Second)},
			want:  []string{"e.2"}, said: []string{"e.2"},
		},
		"when it is offered on another connection": {
			steps: []step{stream(hello("e.1"), critical(2), time.Second), stream(hello("e.2"), offered(2, 3), live("e.2", 0), time.Second)},
			want:  []string{"e.2", "live(e.2 0)"}, said: []string{"e.2"},
		},
		"when it comes again although it was confirmed, which is told anew": {
			steps: []step{stream(hello("e.1"), critical(2), time.Second, offered(2, 2), time.Second)},
			sub:   Subscription{Confirm: true},
			want:  []string{"e.2"}, said: []string{"e.2+e.2", "+e.2"},
		},
		"when it was offered before its place in the log": {
			steps: []step{stream(hello("e.1"), offered(3, 2), event(2), critical(3), live("e.3", 2), time.Second)},
			want:  []string{"e.3#2", "e.2", "live(e.3 2)"}, said: []string{"e.3"},
		},
		"although this process began behind it, if another one left it": {
			steps: []step{stream(hello("e.9"), offered(3, 2), live("e.9", 0), offered(3, 3), time.Second)},
			sub:   Subscription{After: &roxy.Cursor{Epoch: "e", Offset: 9}},
			want:  []string{"e.3#2", "live(e.9 0)"},
		},
		"over a reset": {
			steps: []step{stream(hello("e.1"), critical(2), time.Second, reset("retention", "e.90"), offered(2, 2), offered(70, 2), time.Second)},
			want:  []string{"e.2", "reset(retention e.90)", "e.70#2"}, said: []string{"e.2", "e.90"},
		},
		"but that of another life, whatever its place": {
			steps: []step{stream(hello("e.5"), critical(6), time.Second, reset("epoch", "e.3"), offered(2, 1), critical(4), event(5), critical(6), time.Second)},
			want:  []string{"e.6", "reset(epoch e.3)", "e.2#1", "e.4", "e.5", "e.6"}, said: []string{"e.6", "e.6"},
		},
		"when the mailbox is given again behind another snapshot": {
			steps: []step{
				stream(helloView("v1", ""), liveWith("e.5", 0), critical(6), event(7), bye("drain", time.Second)),
				stream("id: e.7\n" + helloView("v2", `"cursor":"e.7",`)),
				stream(helloView("v2", ""), offered(6, 2), critical(6), event(7), event(8), liveWith("e.8", 0), time.Second),
			},
			sub:  Subscription{Snapshot: true},
			want: []string{"snapshot", "live(e.5 0)", "e.6", "e.7", "reset(view .0)", "snapshot", "e.8", "live(e.8 0)"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := &desk{script: script{steps: tt.steps}}
			got, err := attend(t, d, tt.sub, nil)
			if err != nil || !slices.Equal(got, tt.want) {
				t.Errorf("got %q, %v; want %q", got, err, tt.want)
			}
			if tt.said != nil && !slices.Equal(d.said, tt.said) {
				t.Errorf("the hub heard %q, want %q", d.said, tt.said)
			}
		})
	}
}

func TestSubscribeTellsACriticalEventWhole(t *testing.T) {
	d := &desk{script: script{steps: []step{stream(hello("e.9"), offered(3, 2))}}}
	_, err := attend(t, d, Subscription{}, func(_ *Client, m Message) bool {
		e, ok := m.(Event)
		e.to = nil
		want := Event{AckID: cursor(t, "e.3"), Attempt: 2, Event: roxy.Event{
			Topic: topicOf(t, "orders/3"), Type: "order:new", Data: []byte("null"), Ack: &roxy.Ack{By: roxy.AckDevice}, Offset: 3,
			Time: time.Date(2026, 11, 23, 20, 0, 0, 0, time.UTC),
		}}
		if !ok || !reflect.DeepEqual(e, want) {
			t.Errorf("got %+v, want %+v", e, want)
		}
		return true
	})
	if err != nil {
		t.Error(err)
	}
}

func TestSubscribeTellsPublishersTheNews(t *testing.T) {
	s := &script{steps: []step{stream(hello("e.9"),
		"event: roxy:ack\ndata: {\"id\":\"e.7\",\"status\":\"confirmed\",\"device\":\"bar-1\",\"user\":\"anna\",\"time\":\"2026-11-23T20:00:00Z\"}\n\n",
		"event: roxy:ack\ndata: {\"id\":\"e.7\",\"correlation\":\"c\",\"settled\":\"unacked\",\"reason\":\"ttl\",\"time\":\"2026-11-23T20:00:00Z\"}\n\n")}}
	got, err := follow(t, s, Subscription{}, Options{})
	if want := []string{"news(e.7 confirmed by anna/bar-1 )", "news(e.7 unacked by / ttl)"}; err != nil || !slices.Equal(got, want) {
		t.Fatalf("got %q, %v; want %q", got, err, want)
	}
}

// The caller confirms while it handles an event; the call is made again when the event comes again, as often as that is.
func TestConfirmHoldsThoughItsAnswerIsLost(t *testing.T) {
	d := &desk{
		script: script{steps: []step{stream(hello("e.1"), critical(2), time.Second, offered(2, 2), time.Second)}},
		acks:   []step{problem(400, roxy.InvalidParameter)}, // stands for whatever ends a call without success
	}
	var end error
	got, err := attend(t, d, Subscription{}, func(c *Client, m Message) bool {
		if e, ok := m.(Event); ok {
			_, end = c.Confirm(context.Background(), e)
		}
		return true
	})
	if want := []string{"+e.2", "e.2", "+e.2"}; err != nil || !errors.Is(end, &roxy.Problem{Code: roxy.InvalidParameter}) || !slices.Equal(d.said, want) || len(got) != 1 {
		t.Fatalf("the hub heard %q, want %q; got %q, %v, Confirm: %v", d.said, want, got, err, end)
	}
}

func TestConfirmIsForWhatADeviceWasGiven(t *testing.T) {
	s := &script{steps: []step{stream(hello("e.1"), event(2), critical(3))}}
	synctest.Test(t, func(t *testing.T) {
		c := mustNew(t, Options{HTTPClient: &http.Client{Transport: s}})
		for m, err := range c.Subscribe(t.Context(), Subscription{}) {
			if err != nil {
				t.Fatal(err)
			}
			if status, err := c.Confirm(t.Context(), m.(Event)); err == nil { //nolint:forcetypeassert // the script has nothing else
				t.Errorf("%s: %s", word(m), status)
			}
		}
		for _, err := range c.Subscribe(t.Context(), Subscription{Confirm: true}) {
			if err == nil || !strings.Contains(err.Error(), "Device") {
				t.Errorf("a subscription of nobody that confirms: %v", err)
			}
		}
	})
}

func TestSubscribeStaysAwayWhenItsDeviceIsTaken(t *testing.T) {
	d := &desk{script: script{steps: []step{stream(hello("e.1"), event(2), bye("replaced", time.Hour))}}}
	if got, err := attend(t, d, Subscription{}, nil); !errors.Is(err, ErrReplaced) || len(d.requests) != 1 || !slices.Equal(got, []string{"e.2"}) || !slices.Equal(d.said, []string{"e.2"}) {
		t.Fatalf("got %q, %v in %d connections; the hub heard %q", got, err, len(d.requests), d.said)
	}
}

func TestCallsAboutDevicesAskForWhatTheySay(t *testing.T) {
	at := time.Date(2026, 11, 23, 20, 0, 0, 0, time.UTC)
	var bodies []string
	s := &script{steps: []step{
		record(&bodies, answer(200, "application/json", `{"device":"bar-1","cursor":"e.9","results":[{"id":"e.7","status":"late"},{"id":"e.8","status":"unknown"}]}`)),
		record(&bodies, answer(200, "application/json", `{"device":"bar-1","cursor":"e.9","results":[]}`)),
		answer(200, "application/json", `{"devices":[{"device":"bar-1","roles":["bar"],"patterns":["orders/*"],"types":["order:new"],"cursor":"e.9",`+
			`"created":"2026-11-23T20:00:00Z","seen":"2026-11-23T20:00:00Z","connected":true,"connection":"c1","transport":"ws"}]}`),
		answer(204, "", ""),
		problem(404, roxy.NotFound),
		answer(200, "application/json", `{"event":"e.7","topic":"orders/7","type":"order:new","by":"anna","correlation":"c","time":"2026-11-23T20:00:00Z",`+
			`"ack":{"by":"user","within":"30s","attempts":5},"attempt":2,"due":"2026-11-23T20:00:00Z","users":["u"],`+
			`"receipts":[{"device":"bar-1","user":"u","written":"2026-11-23T20:00:00Z","attempts":2,"transport":"sse"}]}`),
	}}
	with(t, s, func(ctx context.Context, c *Client) {
		if got, statuses, err := c.Acknowledge(ctx, "bar-1", cursor(t, "e.9"), cursor(t, "e.7"), cursor(t, "e.8")); err != nil || got != cursor(t, "e.9") || !slices.Equal(statuses, []roxy.AckStatus{roxy.AckLate, roxy.AckUnknown}) {
			t.Errorf("Acknowledge: %s %v, %v", got, statuses, err)
		}
		if got, statuses, err := c.Acknowledge(ctx, "bar-1", cursor(t, "e.9")); err != nil || got != cursor(t, "e.9") || len(statuses) != 0 {
			t.Errorf("Acknowledge: %s %v, %v", got, statuses, err)
		}
		devices := []Device{{Connected: true, Connection: "c1", Transport: "ws", Device: roxy.Device{
			Name: "bar-1", Roles: []string{"bar"}, Patterns: []roxy.Pattern{orders(t)}, Types: []string{"order:new"}, Cursor: cursor(t, "e.9"), Created: at, Seen: at,
		}}}
		if got, err := c.Devices(ctx); err != nil || !reflect.DeepEqual(got, devices) {
			t.Errorf("Devices: %+v, %v", got, err)
		}
		if err := c.ForgetDevice(ctx, "bar-1"); err != nil {
			t.Errorf("ForgetDevice: %v", err)
		}
		if err := c.ForgetDevice(ctx, "bar-1"); !errors.Is(err, roxy.ErrNotFound) {
			t.Errorf("ForgetDevice again: %v", err)
		}
		critical := Critical{
			ID: cursor(t, "e.7"), Topic: topicOf(t, "orders/7"), Type: "order:new", By: "anna", Correlation: "c", Time: at, Attempt: 2, Due: at, Users: []string{"u"},
			Ack:      roxy.Ack{By: roxy.AckUser, Within: 30 * time.Second, Attempts: 5},
			Receipts: []roxy.DeviceReceipt{{Device: "bar-1", User: "u", Written: at, Attempts: 2, Transport: "sse"}},
		}
		if got, err := c.Receipts(ctx, cursor(t, "e.7")); err != nil || !reflect.DeepEqual(got, critical) {
			t.Errorf("Receipts: %+v, %v", got, err)
		}
	})
	for i, want := range []string{
		"POST /base/v1/acks", "POST /base/v1/acks", "GET /base/v1/devices", "DELETE /base/v1/devices/bar-1", "DELETE /base/v1/devices/bar-1", "GET /base/v1/events/e.7/receipts",
	} {
		if got := s.requests[i].Method + " " + s.requests[i].URL.RequestURI(); got != want {
			t.Errorf("request %d is %s, want %s", i, got, want)
		}
	}
	if want := []string{`{"device":"bar-1","delivered":"e.9","ids":["e.7","e.8"]}`, `{"device":"bar-1","delivered":"e.9"}`}; !slices.Equal(bodies, want) {
		t.Errorf("sent %q, want %q", bodies, want)
	}
}

// What is known of critical events is bounded, and the oldest is forgotten first.
func TestHandledForgetsTheOldest(t *testing.T) {
	h := handled{confirmed: make(map[roxy.Cursor]bool)}
	at := func(n int) roxy.Cursor { return roxy.Cursor{Epoch: "e", Offset: uint64(n)} }
	for n := range handledKept + 3 {
		h.add(at(n))
		h.add(at(n))
	}
	for n, want := range map[int]bool{2: false, 3: true, handledKept + 2: true} {
		if _, known := h.confirmed[at(n)]; known != want {
			t.Errorf("of %d: %v", n, known)
		}
	}
	if len(h.confirmed) != handledKept || len(h.order) != handledKept {
		t.Errorf("%d and %d are kept", len(h.confirmed), len(h.order))
	}
}

// FuzzTakeOfADevice: whatever a hub sends a device, no critical event is handled twice in one life of the log, and what is
// acknowledged was given.
func FuzzTakeOfADevice(f *testing.F) {
	f.Add([]byte(hello("e.1") + offered(3, 2) + event(2) + critical(3) + critical(4) + offered(4, 2) + live("e.4", 3)))
	f.Add([]byte(helloView("v1", "") + offered(3, 2) + entity("orders/1", 1, `{}`) + liveWith("e.5", 1) + reset("epoch", "e.2") + critical(3) + beat("e.9")))
	f.Add([]byte("event: roxy:ack\ndata: {\"id\":\"e.7\",\"settled\":\"unacked\",\"reason\":\"ttl\"}\n\n" + bye("replaced", 0)))
	f.Fuzz(func(t *testing.T, in []byte) {
		c := mustNew(t, Options{})
		given := make(map[roxy.Cursor]bool)
		var last roxy.Cursor
		device := &follower{
			client: c, sub: Subscription{Device: "bar-1", Confirm: true},
			acks: &acknowledger{client: c, device: "bar-1", confirms: true, wake: make(chan struct{}, 1), handled: handled{confirmed: make(map[roxy.Cursor]bool)}},
		}
		device.yield = func(m Message, _ error) bool {
			switch m := m.(type) {
			case Event:
				if m.Ack != nil && given[m.AckID] {
					t.Fatalf("%s was given twice", m.AckID)
				}
				if m.Ack != nil {
					given[m.AckID] = true
				}
			case Reset:
				if m.Reason == "epoch" {
					clear(given)
				}
			}
			last = device.position
			return true
		}
		blocks := newFrames(strings.NewReader(string(in)), 1<<16)
		for {
			block, err := blocks.next()
			if err != nil || device.take(block, &watched{}) != nil {
				break
			}
		}
		for _, id := range device.acks.confirm {
			if !given[id] {
				t.Fatalf("%s is confirmed, and was not given", id)
			}
		}
		if at := device.acks.delivered; beyond(at, device.position) && device.position.Epoch != "" || beyond(at, last) && device.position.Epoch == "" {
			t.Fatalf("delivered up to %s at %s", at, device.position)
		}
	})
}
