package client

import (
	"context"
	"errors"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/roxyhub/roxy"
)

func TestSubscribeYields(t *testing.T) {
	half := event(3)[:30]
	for name, tt := range map[string]struct {
		steps   []step
		sub     Subscription
		want    []string
		resumed []string // Last-Event-ID of each request, the last answered by 204
	}{
		"each event once when an event is cut in the middle": {
			steps: []step{
				stream(hello("e.1"), live("e.1", 0), event(2), half),
				stream(hello("e.2"), event(3), live("e.3", 1), event(4)),
			},
			want:    []string{"live(e.1 0)", "e.2", "e.3", "live(e.3 1)", "e.4"},
			resumed: []string{"", "e.2", "e.4"},
		},
		"nothing twice when the hub repeats": {
			steps: []step{
				stream(hello("e.1"), event(2), event(3), event(2), event(3)),
				stream(hello("e.1"), event(2), event(3), event(4)),
			},
			want:    []string{"e.2", "e.3", "e.4"},
			resumed: []string{"", "e.3", "e.4"},
		},
		"a reset, and goes on behind it, even to a smaller offset": {
			steps:   []step{stream(hello("f.7"), reset("epoch", "f.7"), live("f.7", 0), strings.ReplaceAll(event(8), "e.8", "f.8"))},
			sub:     Subscription{After: &roxy.Cursor{Epoch: "e", Offset: 100}},
			want:    []string{"reset(epoch f.7)", "live(f.7 0)", "f.8"},
			resumed: []string{"e.100", "f.8"},
		},
		"the reset although the link was cut between hello and it": {
			steps: []step{
				stream(hello("e.90")),
				stream(hello("e.95"), reset("retention", "e.95"), event(96)),
			},
			sub:     Subscription{After: &roxy.Cursor{Epoch: "e", Offset: 5}},
			want:    []string{"reset(retention e.95)", "e.96"},
			resumed: []string{"e.5", "e.5", "e.96"},
		},
		"what came between hello and the cut of a new stream": {
			steps:   []step{stream(hello("e.7")), stream(hello("e.7"), event(8))},
			want:    []string{"e.8"},
			resumed: []string{"", "e.7", "e.8"},
		},
		"nothing for heartbeats, and resumes behind them": {
			steps:   []step{stream(hello("e.1"), event(2), beat("e.50")), stream(hello("e.50"), event(51))},
			want:    []string{"e.2", "e.51"},
			resumed: []string{"", "e.50", "e.51"},
		},
		"nothing for an id alone, comments and controls of a newer hub": {
			steps:   []step{stream(hello("e.1"), ": hi\n\n", "id: e.9\n\n", "event: roxy:novelty\ndata: {}\n\n", event(10))},
			want:    []string{"e.10"},
			resumed: []string{"", "e.10"},
		},
		"an ephemeral event each time, without moving the cursor": {
			steps: []step{stream(hello("e.1"), event(2),
				"event: typing\ndata: {\"topic\":\"orders/2\",\"time\":\"2026-11-23T20:00:00Z\",\"data\":null}\n\n",
				"event: typing\ndata: {\"topic\":\"orders/2\",\"time\":\"2026-11-23T20:00:00Z\",\"data\":null}\n\n")},
			want:    []string{"e.2", "~typing", "~typing"},
			resumed: []string{"", "e.2"},
		},
		"with CR line ends": {
			steps:   []step{stream(strings.ReplaceAll(hello("e.1")+event(2), "\n", "\r"))},
			want:    []string{"e.2"},
			resumed: []string{"", "e.2"},
		},
		"through refusals of load and broken connections": {
			steps: []step{
				refuse(errCable), problem(503, roxy.Overloaded), problem(429, roxy.RateLimited), answer(502, "text/html", "<h1>nginx</h1>"),
				problem(500, roxy.Internal), answer(408, "", ""), answer(425, "", ""), stream(hello("e.1"), event(2)),
			},
			want:    []string{"e.2"},
			resumed: []string{"", "", "", "", "", "", "", "", "e.2"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := &script{steps: tt.steps}
			got, err := follow(t, s, tt.sub, Options{})
			if err != nil || !slices.Equal(got, tt.want) {
				t.Errorf("got %q, %v; want %q", got, err, tt.want)
			}
			if ids := s.resumedAt(); !slices.Equal(ids, tt.resumed) {
				t.Errorf("resumed at %q, want %q", ids, tt.resumed)
			}
		})
	}
}

func TestSubscribeTellsAnEventWhole(t *testing.T) {
	s := &script{steps: []step{stream(hello("e.1"),
		"id: e.2\ndata: {\"topic\":\"orders/42\",\"time\":\"2026-11-23T20:00:00.5Z\",\"by\":\"u7\",\"correlation\":\"c1\",\"traceparent\":\"00-x\",\"data\":{\"a\": 1},\"new\":2}\n\n")}}
	synctest.Test(t, func(t *testing.T) {
		topic, err := roxy.ParseTopic("orders/42")
		if err != nil {
			t.Fatal(err)
		}
		want := Event{Cursor: cursor(t, "e.2"), Event: roxy.Event{
			Topic: topic, Type: "message", Data: []byte(`{"a": 1}`), By: "u7", Correlation: "c1", TraceParent: "00-x", Offset: 2,
			Time: time.Date(2026, 11, 23, 20, 0, 0, 5e8, time.UTC),
		}}
		c := mustNew(t, Options{HTTPClient: &http.Client{Transport: s}})
		for m, err := range c.Subscribe(t.Context(), Subscription{}) {
			if err != nil || !reflect.DeepEqual(m, want) {
				t.Fatalf("got %+v, %v; want %+v", m, err, want)
			}
		}
	})
}

func TestSubscribeAsksForWhatTheSubscriptionSays(t *testing.T) {
	s := &script{steps: []step{stream(hello("e.0"), event(1))}}
	_, err := follow(t, s, Subscription{Types: []string{"order:new", "a&b"}, Earliest: true, Heartbeat: 5 * time.Second}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{
		"http://hub.example/base/v1/stream?after=earliest&heartbeat=5s&topic=orders%2F%2A&type=order%3Anew&type=a%26b",
		"http://hub.example/base/v1/stream?heartbeat=5s&topic=orders%2F%2A&type=order%3Anew&type=a%26b", // by Last-Event-ID now
	} {
		r := s.requests[i]
		if r.URL.String() != want || r.Header.Get("Accept") != "text/event-stream" || !strings.HasPrefix(r.Header.Get("Roxy-Client"), "go/") {
			t.Errorf("request %d: %s %v, want %s", i, r.URL, r.Header, want)
		}
	}
}

func TestSubscribeEndsWithWhatNoRepetitionCures(t *testing.T) {
	for name, tt := range map[string]struct {
		steps []step
		want  error // by errors.Is; nil for any other error
	}{
		"an identity that is not valid": {[]step{problem(401, roxy.Unauthenticated)}, &roxy.Problem{Code: roxy.Unauthenticated}},
		"a pattern outside the grant":   {[]step{problem(403, roxy.Forbidden)}, &roxy.Problem{Code: roxy.Forbidden}},
		"a bad parameter":               {[]step{problem(400, roxy.InvalidParameter)}, &roxy.Problem{Code: roxy.InvalidParameter}},
		"another server's 404":          {[]step{answer(404, "text/html", "nothing here")}, &roxy.Problem{Code: roxy.NotFound}},
		"a token expired twice":         {[]step{problem(401, roxy.TokenExpired), problem(401, roxy.TokenExpired)}, &roxy.Problem{Code: roxy.TokenExpired}},
		"a token that the stream outlived and the next request too": {
			[]step{stream(hello("e.1"), live("e.1", 0), bye("token-expired", time.Second)), problem(401, roxy.TokenExpired)},
			&roxy.Problem{Code: roxy.TokenExpired},
		},
		"streams that expire before they are live": {
			[]step{stream(hello("e.1"), bye("token-expired", 0)), stream(hello("e.1"), bye("token-expired", 0))},
			&roxy.Problem{Code: roxy.TokenExpired},
		},
		"an event beyond the bound":            {[]step{stream(hello("e.1"), "data: "+strings.Repeat("x", 2000)+"\n\n")}, &roxy.Problem{Code: roxy.TooLarge}},
		"a page in place of a stream":          {[]step{answer(200, "text/html", "<h1>Log in</h1>")}, nil},
		"an id that is no cursor":              {[]step{stream(hello("e.1"), "id: 7\ndata: {}\n\n")}, nil},
		"an envelope that is no JSON":          {[]step{stream(hello("e.1"), "id: e.2\ndata: hi\n\n")}, nil},
		"another epoch without a reset":        {[]step{stream(hello("e.1"), "id: f.2\ndata: {}\n\n")}, nil},
		"a hello without a heartbeat to trust": {[]step{stream("event: roxy:hello\ndata: {}\n\n")}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			s := &script{steps: tt.steps}
			_, err := follow(t, s, Subscription{}, Options{MaxEventBytes: 1000})
			if err == nil || tt.want != nil && !errors.Is(err, tt.want) {
				t.Errorf("ends with %v, want %v", err, tt.want)
			}
			if len(s.requests) != len(tt.steps) {
				t.Errorf("%d requests, want %d", len(s.requests), len(tt.steps))
			}
		})
	}
}

func TestSubscribeTellsTheProblemOfTheHub(t *testing.T) {
	_, err := follow(t, &script{steps: []step{problem(403, roxy.Forbidden)}}, Subscription{}, Options{})
	p, ok := errors.AsType[*roxy.Problem](err)
	if !ok || p.Member != "topic" || p.Detail != "because" {
		t.Fatalf("got %#v", err)
	}
}

func TestSubscribeAsksForATokenEachTime(t *testing.T) {
	n := 0
	token := func(context.Context) (string, error) { n++; return "t" + strconv.Itoa(n), nil }
	s := &script{steps: []step{
		problem(401, roxy.TokenExpired),
		stream(hello("e.1"), live("e.1", 0), bye("token-expired", time.Second)),
		stream(hello("e.1"), live("e.1", 0), bye("token-expired", time.Second)), // a good stream lay between
		stream(hello("e.1"), live("e.1", 0)),
	}}
	if _, err := follow(t, s, Subscription{}, Options{Token: token}); err != nil {
		t.Fatal(err)
	}
	for i, r := range s.requests {
		if got, want := r.Header.Get("Authorization"), "Bearer t"+strconv.Itoa(i+1); got != want {
			t.Errorf("request %d carries %q, want %q", i, got, want)
		}
	}
}

func TestSubscribeEndsWithTheErrorOfToken(t *testing.T) {
	want := errors.New("no key in the drawer")
	_, err := follow(t, &script{}, Subscription{}, Options{Token: func(context.Context) (string, error) { return "", want }})
	if !errors.Is(err, want) {
		t.Fatalf("ends with %v", err)
	}
}

func TestSubscribeWaits(t *testing.T) {
	for name, tt := range map[string]struct {
		steps     []step
		backoff   Backoff
		low, high time.Duration // bounds of what lies between the last two requests
	}{
		"as long as Retry-After says": {steps: []step{problem(503, roxy.Overloaded, "Retry-After", "120")}, low: 120 * time.Second, high: 120 * time.Second},
		"as long as bye says":         {steps: []step{stream(hello("e.1"), bye("drain", 42*time.Second))}, low: 42 * time.Second, high: 42 * time.Second},
		"a second between two connections that die at once": {
			steps: []step{stream()}, backoff: Backoff{Base: 1, Max: 1}, low: time.Second, high: time.Second,
		},
		"no longer than the bound":                 {steps: slices.Repeat([]step{refuse(errCable)}, 20), low: time.Second, high: 30 * time.Second},
		"for a hello no longer than half a minute": {steps: []step{stream(stall{})}, low: opening, high: opening + time.Second},
		"two heartbeats and 2 s for a dead link":   {steps: []step{stream(hello("e.1"), stall{})}, low: 32 * time.Second, high: 33 * time.Second},
		"for ever while heartbeats come": {
			steps: []step{stream(hello("e.1"), 15*time.Second, beat("e.1"), 31*time.Second, beat("e.1"), 15*time.Second, beat("e.1"))},
			low:   61 * time.Second, high: 62 * time.Second,
		},
		"for ever while even a comment comes": {
			steps: []step{stream(hello("e.1"), 30*time.Second, ":", 30*time.Second, "x", 30*time.Second, "\n")},
			low:   90 * time.Second, high: 91 * time.Second,
		},
		"little again once a stream was good": {
			steps: append(slices.Repeat([]step{problem(503, roxy.Overloaded)}, 8), stream(hello("e.1"), 15*time.Second, beat("e.1"), 15*time.Second, beat("e.1"))),
			low:   30 * time.Second, high: 30*time.Second + 500*time.Millisecond,
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := &script{steps: tt.steps}
			if _, err := follow(t, s, Subscription{}, Options{Backoff: tt.backoff}); err != nil {
				t.Fatal(err)
			}
			last := len(s.at) - 1
			if gap := s.at[last] - s.at[last-1]; gap < tt.low || gap > tt.high {
				t.Errorf("request %d came %s behind the one before, want %s to %s", last, gap, tt.low, tt.high)
			}
		})
	}
}

// A caller who takes long over an event has not lost the hub.
func TestSubscribeDoesNotTakeASlowCallerForADeadLink(t *testing.T) {
	s := &script{steps: []step{stream(hello("e.1"), event(2), event(3))}}
	synctest.Test(t, func(t *testing.T) {
		c := mustNew(t, Options{HTTPClient: &http.Client{Transport: s}})
		var got []string
		for m, err := range c.Subscribe(t.Context(), Subscription{}) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, word(m))
			time.Sleep(time.Hour)
		}
		if want := []string{"e.2", "e.3"}; !slices.Equal(got, want) || len(s.requests) != 2 {
			t.Fatalf("got %q in %d requests, want %q in 2", got, len(s.requests), want)
		}
	})
}

func TestSubscribeEndsWithItsContext(t *testing.T) {
	for name, steps := range map[string][]step{
		"while a stream is silent": {stream(hello("e.1"), stall{})},
		"while it waits":           {problem(503, roxy.Overloaded, "Retry-After", "120")},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				want := errors.New("closing time")
				ctx, cancel := context.WithTimeoutCause(t.Context(), 10*time.Second, want)
				defer cancel()
				var last error
				c := mustNew(t, Options{HTTPClient: &http.Client{Transport: &script{steps: steps}}})
				for _, err := range c.Subscribe(ctx, Subscription{}) {
					last = err
				}
				if !errors.Is(last, want) {
					t.Fatalf("ends with %v, want %v", last, want)
				}
			})
		})
	}
}

func TestSubscribeStopsWithItsCaller(t *testing.T) {
	s := &script{steps: []step{stream(hello("e.1"), event(2), event(3), stall{})}}
	synctest.Test(t, func(t *testing.T) {
		c := mustNew(t, Options{HTTPClient: &http.Client{Transport: s}})
		for m, err := range c.Subscribe(t.Context(), Subscription{}) {
			if err != nil || word(m) != "e.2" {
				t.Fatalf("got %v, %v", m, err)
			}
			break
		}
		synctest.Wait()
		if s.requests[0].Context().Err() == nil {
			t.Error("the request goes on")
		}
	})
}

func TestSubscribeTellsItsState(t *testing.T) {
	var got []string
	sub := Subscription{OnState: func(s State) {
		line := string(s.Phase)
		if s.Connection != "" {
			line += " as " + s.Connection
		}
		if s.Err != nil {
			line += " for " + s.Retry.String() + ": " + s.Err.Error()
		}
		got = append(got, line)
	}}
	s := &script{steps: []step{
		stream(hello("e.1"), bye("drain", 9*time.Second)),
		problem(503, roxy.Overloaded, "Retry-After", "20"), // more than the jitter can be by now
	}}
	if _, err := follow(t, s, sub, Options{}); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"connecting", "connected as c1", "waiting for 9s: client: the hub closed the stream: drain",
		"connecting", "waiting for 20s: overloaded: because",
		"connecting",
	}
	if !slices.Equal(got, want) {
		t.Fatalf("got %q, want %q", got, want)
	}
}
