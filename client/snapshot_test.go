package client

import (
	"net/http"
	"reflect"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/roxyhub/roxy"
)

func TestSubscribeWithASnapshotYields(t *testing.T) {
	begin := helloView("v1", "")
	one, two := entity("orders/1", 1, `{"a":1}`), entity("orders/2", 1, `{"b":1}`)
	ready := change(12, "orders/1", "patch", 2, `,"patch":{"a":2}`)
	for name, tt := range map[string]struct {
		steps   []step
		sub     Subscription
		want    []string
		resumed []string // Last-Event-ID of each request, the last answered by 204
	}{
		"entities, then what changes them": {
			steps:   []step{stream(begin, one, two, liveWith("e.11", 2), ready)},
			want:    []string{"snapshot", `orders/1=1{"a":1}`, `orders/2=1{"b":1}`, "live(e.11 0 2)", "e.12"},
			resumed: []string{"", "e.12"},
		},
		"the snapshot anew when it is cut in its middle": {
			steps:   []step{stream(begin, one), stream(begin, one, two[:40]), stream(begin, one, two, liveWith("e.11", 2))},
			want:    []string{"snapshot", `orders/1=1{"a":1}`, "snapshot", `orders/1=1{"a":1}`, "snapshot", `orders/1=1{"a":1}`, `orders/2=1{"b":1}`, "live(e.11 0 2)"},
			resumed: []string{"", "", "", "e.11"},
		},
		"the snapshot anew when it is cut at its end": {
			steps:   []step{stream(begin, one), stream(begin, one, liveWith("e.11", 1))},
			want:    []string{"snapshot", `orders/1=1{"a":1}`, "snapshot", `orders/1=1{"a":1}`, "live(e.11 0 1)"},
			resumed: []string{"", "", "e.11"},
		},
		"what follows a whole snapshot when it is cut before it is live": {
			steps:   []step{stream(begin, one, ready), stream(hello("e.12"), live("e.12", 0))},
			want:    []string{"snapshot", `orders/1=1{"a":1}`, "e.12", "live(e.12 0)"},
			resumed: []string{"", "e.12", "e.12"},
		},
		"no snapshot when it resumes": {
			steps:   []step{stream(hello("e.11"), ready, live("e.12", 1))},
			sub:     Subscription{After: &roxy.Cursor{Epoch: "e", Offset: 11}},
			want:    []string{"e.12", "live(e.12 1)"},
			resumed: []string{"e.11", "e.12"},
		},
		"a reset, then the snapshot, each time anew until it is whole": {
			steps: []step{
				stream(helloView("v1", `"cursor":"e.5",`)),
				stream(helloView("v1", `"cursor":"e.5",`), "event: roxy:reset\ndata: {\"reason\":\"retention\",\"cursor\":\"e.90\"}\n\n", one),
				stream(begin, one, liveWith("e.91", 1)),
			},
			sub:     Subscription{After: &roxy.Cursor{Epoch: "e", Offset: 5}},
			want:    []string{"reset(retention .0)", "snapshot", `orders/1=1{"a":1}`, "snapshot", `orders/1=1{"a":1}`, "live(e.91 0 1)"},
			resumed: []string{"e.5", "e.5", "", "e.91"},
		},
		"a later snapshot, and is live again": {
			steps: []step{stream(begin, one, liveWith("e.11", 1),
				"event: roxy:reset\ndata: {\"reason\":\"retention\",\"cursor\":\"e.90\"}\n\n", two, change(90, "orders/2", "patch", 2, `,"patch":{}`), liveWith("e.90", 1))},
			want:    []string{"snapshot", `orders/1=1{"a":1}`, "live(e.11 0 1)", "reset(retention .0)", "snapshot", `orders/2=1{"b":1}`, "e.90", "live(e.90 0 1)"},
			resumed: []string{"", "e.90"},
		},
		"nothing for a heartbeat in the snapshot, and does not resume there": {
			steps:   []step{stream(begin, one, "event: roxy:heartbeat\ndata: {\"time\":\"2026-11-23T20:00:00Z\"}\n\n"), stream(begin, liveWith("e.11", 0))},
			want:    []string{"snapshot", `orders/1=1{"a":1}`, "snapshot", "live(e.11 0)"},
			resumed: []string{"", "", "e.11"},
		},
		"a new snapshot when its roles see something else": {
			steps: []step{
				stream(begin, one, liveWith("e.11", 1), bye("drain", time.Second)),
				stream("id: e.11\n"+helloView("v2", `"cursor":"e.11",`), ready),
				stream(helloView("v2", ""), entity("orders/1", 2, `{}`), liveWith("e.12", 1)),
			},
			want:    []string{"snapshot", `orders/1=1{"a":1}`, "live(e.11 0 1)", "reset(view .0)", "snapshot", "orders/1=2{}", "live(e.12 0 1)"},
			resumed: []string{"", "e.11", "", "e.12"},
		},
		"what became of mutations, without moving the cursor": {
			steps: []step{stream(begin, liveWith("e.11", 0), "event: roxy:receipt\ndata: {\"id\":\"m-1\",\"status\":\"committed\",\"topic\":\"orders/1\",\"version\":2,\"cursor\":\"e.99\"}\n\n")},
			want:  []string{"snapshot", "live(e.11 0)", "receipt(m-1 committed)"}, resumed: []string{"", "e.11"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := &script{steps: tt.steps}
			tt.sub.Snapshot = true
			got, err := follow(t, s, tt.sub, Options{})
			if err != nil || !slices.Equal(got, tt.want) {
				t.Errorf("got %q, %v\nwant %q", got, err, tt.want)
			}
			if ids := s.resumedAt(); !slices.Equal(ids, tt.resumed) {
				t.Errorf("resumed at %q, want %q", ids, tt.resumed)
			}
		})
	}
}

func TestSubscribeAsksForSnapshotAndDevice(t *testing.T) {
	s := &script{}
	if _, err := follow(t, s, Subscription{Snapshot: true, Device: "bar-1"}, Options{}); err != nil {
		t.Fatal(err)
	}
	if got, want := s.requests[0].URL.RawQuery, "device=bar-1&snapshot=1&topic=orders%2F%2A"; got != want {
		t.Errorf("asked for %s, want %s", got, want)
	}
}

// all returns what a subscription with Snapshot yields of one stream.
func all(t *testing.T, parts ...any) (got []Message) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c := mustNew(t, Options{HTTPClient: &http.Client{Transport: &script{steps: []step{stream(parts...)}}}})
		for m, err := range c.Subscribe(t.Context(), Subscription{Snapshot: true}) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, m)
		}
	})
	return got
}

func TestSubscribeTellsAllOfAChangeAndOfAReceipt(t *testing.T) {
	at := time.Date(2026, 11, 23, 20, 0, 0, 0, time.UTC)
	topic, err := roxy.ParseTopic("orders/1")
	if err != nil {
		t.Fatal(err)
	}
	event := func(n uint64, c roxy.Change) Event {
		return Event{Cursor: roxy.Cursor{Epoch: "e", Offset: n}, Event: roxy.Event{Topic: topic, Type: "entity:updated", Time: at, By: "u7", Offset: n, Change: &c}}
	}
	got := all(t, hello("e.1"), change(2, "orders/1", "put", 1, `,"patch":{"b":1,"a":"\u0041"}`), change(3, "orders/1", "patch", 2, `,"patch":{}`), change(4, "orders/1", "delete", 3, ""),
		"event: roxy:receipt\ndata: {\"id\":\"m-1\",\"status\":\"refused\",\"topic\":\"orders/1\",\"problem\":{\"code\":\"version-conflict\",\"detail\":\"because\","+
			"\"current\":{\"topic\":\"orders/1\",\"version\":3,\"data\":null,\"time\":\"2026-11-23T20:00:00Z\"},\"fields\":[\"a\"]}}\n\n")
	want := []Message{
		event(2, roxy.Change{Op: roxy.Put, Version: 1, Patch: []byte(`{"a":"A","b":1}`), Mutation: "m2"}),
		event(3, roxy.Change{Op: roxy.Patch, Version: 2, Mutation: "m3"}),
		event(4, roxy.Change{Op: roxy.Delete, Version: 3, Mutation: "m4"}),
		Receipt{roxy.MutationResult{ID: "m-1", Outcome: roxy.Refused, Topic: topic, Problem: &roxy.Problem{
			Code: roxy.VersionConflict, Detail: "because", Conflict: &roxy.Conflict{Current: &roxy.Entity{Topic: topic, Version: 3, Time: at}, Fields: []string{"a"}},
		}}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("got %+v\nwant %+v", got, want)
	}
}

func TestSubscribeEndsWithWhatIsNoEntity(t *testing.T) {
	for name, block := range map[string]string{
		"an entity that is an array":   entity("orders/1", 1, `[]`),
		"an entity without data":       "event: roxy:entity\ndata: {\"topic\":\"orders/1\",\"version\":1}\n\n",
		"an entity at no topic":        entity("a//b", 1, `{}`),
		"a patch that is none":         change(2, "orders/1", "patch", 2, `,"patch":7`),
		"a receipt with a bad cursor":  "event: roxy:receipt\ndata: {\"id\":\"m\",\"cursor\":\"7\"}\n\n",
		"a receipt with a bad problem": "event: roxy:receipt\ndata: {\"id\":\"m\",\"problem\":{}}\n\n",
	} {
		t.Run(name, func(t *testing.T) {
			s := &script{steps: []step{stream(hello("e.1"), block)}}
			if _, err := follow(t, s, Subscription{Snapshot: true}, Options{}); err == nil || len(s.requests) != 1 {
				t.Errorf("ends with %v after %d requests", err, len(s.requests))
			}
		})
	}
}
