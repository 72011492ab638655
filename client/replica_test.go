package client

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"testing"

	"github.com/roxyhub/roxy"
)

// take feeds r the messages of one stream and returns what it holds then, one word each.
func take(t *testing.T, r *Replica, parts ...any) []string {
	t.Helper()
	for _, m := range all(t, parts...) {
		if err := r.Take(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	for e := range r.Entities() {
		if one, ok := r.Entity(e.Topic); !ok || one.Version != e.Version {
			t.Errorf("%s is at %d, and at %d", e.Topic, e.Version, one.Version)
		}
		got = append(got, fmt.Sprintf("%s=%d%s", e.Topic, e.Version, e.Data))
	}
	return got
}

func TestReplicaHolds(t *testing.T) {
	begin := helloView("v", "")
	one := entity("orders/1", 4, `{"a":1,"b":{"c":1}}`)
	for name, tt := range map[string]struct {
		parts []any
		want  []string
	}{
		"what a snapshot gives": {[]any{begin, entity("orders/2", 1, `{}`), one, liveWith("e.9", 2)}, []string{`orders/1=4{"a":1,"b":{"c":1}}`, "orders/2=1{}"}},
		"each change on top":    {[]any{begin, one, change(9, "orders/1", "patch", 5, `,"patch":{"a":null,"b":{"d":2}}`)}, []string{`orders/1=5{"b":{"c":1,"d":2}}`}},
		"a change of nothing":   {[]any{begin, one, change(9, "orders/1", "patch", 5, `,"patch":{}`)}, []string{`orders/1=5{"a":1,"b":{"c":1}}`}},
		"no version twice":      {[]any{begin, one, change(9, "orders/1", "patch", 4, `,"patch":{"a":9}`), change(10, "orders/1", "patch", 3, `,"patch":{"a":9}`)}, []string{`orders/1=4{"a":1,"b":{"c":1}}`}},
		"what is new":           {[]any{begin, change(9, "orders/1", "put", 1, `,"patch":{"a":1}`)}, []string{`orders/1=1{"a":1}`}},
		"what is new and empty": {[]any{begin, change(9, "orders/1", "put", 1, `,"patch":{}`)}, []string{"orders/1=1{}"}},
		"nothing deleted":       {[]any{begin, one, change(9, "orders/1", "delete", 5, "")}, nil},
		"what comes back": {
			[]any{begin, one, change(9, "orders/1", "delete", 5, ""), change(10, "orders/1", "put", 6, `,"patch":{"z":1}`), change(11, "orders/1", "patch", 7, `,"patch":{"y":1}`)},
			[]string{`orders/1=7{"y":1,"z":1}`},
		},
		"what comes back and was deleted before the snapshot": {[]any{begin, change(10, "orders/1", "put", 6, `,"patch":{"z":1}`)}, []string{`orders/1=6{"z":1}`}},
		"nothing of a snapshot before": {[]any{
			begin, one, entity("orders/2", 1, `{}`), liveWith("e.9", 2),
			"event: roxy:reset\ndata: {\"reason\":\"retention\",\"cursor\":\"e.90\"}\n\n", entity("orders/2", 3, `{"n":1}`), liveWith("e.90", 1),
		}, []string{`orders/2=3{"n":1}`}},
		"nothing of a snapshot that was cut":    {[]any{begin, one, begin, entity("orders/2", 1, `{}`), liveWith("e.9", 1)}, []string{"orders/2=1{}"}},
		"nothing of events that are no commits": {[]any{begin, one, event(9)}, []string{`orders/1=4{"a":1,"b":{"c":1}}`}},
	} {
		t.Run(name, func(t *testing.T) {
			r := NewReplica(mustNew(t, Options{URL: "http://127.0.0.1:0"})) // none of these needs the hub
			if got := take(t, r, tt.parts...); !slices.Equal(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestReplicaIsLiveBetweenLiveAndTheNextSnapshot(t *testing.T) {
	r := NewReplica(mustNew(t, Options{}))
	for i, tt := range []struct {
		m    Message
		live bool
	}{
		{Snapshot{}, false},
		{Entity{roxy.Entity{Topic: topicOf(t, "orders/1"), Version: 1, Data: []byte("{}")}}, false},
		{Live{}, true},
		{Receipt{}, true},
		{Reset{}, false},
		{Snapshot{}, false},
		{Live{}, true},
		{Snapshot{}, false},
	} {
		if err := r.Take(t.Context(), tt.m); err != nil || r.Live() != tt.live {
			t.Errorf("message %d, %T: live is %v, %v", i, tt.m, r.Live(), err)
		}
	}
}

// Where a version is missing, which a subscription of some types may leave out, the entity is read.
func TestReplicaReadsWhatItMissed(t *testing.T) {
	read := func(version int, data string) step {
		return answer(200, "application/json", fmt.Sprintf(`{"topic":"orders/1","version":%d,"data":%s,"time":"2026-11-23T20:00:00Z","cursor":"e.99"}`, version, data))
	}
	gone, denied := problem(404, roxy.NotFound), problem(403, roxy.Forbidden)
	begin, one := helloView("v", ""), entity("orders/1", 4, `{"a":1}`)
	patch := func(n, version int) string {
		return change(n, "orders/1", "patch", version, fmt.Sprintf(`,"patch":{"n":%d}`, version))
	}
	for name, tt := range map[string]struct {
		answers []step
		parts   []any
		want    []string
	}{
		"a gap":                              {[]step{read(6, `{"n":6}`)}, []any{begin, one, patch(9, 6), patch(10, 7)}, []string{`orders/1=7{"n":7}`}},
		"a gap, and is ahead of the stream":  {[]step{read(8, `{"n":8}`)}, []any{begin, one, patch(9, 6), patch(10, 7), patch(11, 8)}, []string{`orders/1=8{"n":8}`}},
		"what no snapshot told of":           {[]step{read(6, `{"m":1,"n":6}`)}, []any{hello("e.8"), patch(9, 6), patch(10, 7)}, []string{`orders/1=7{"m":1,"n":7}`}},
		"what was replaced before it knew":   {[]step{read(6, `{"n":6}`)}, []any{hello("e.8"), change(9, "orders/1", "put", 6, `,"patch":{"n":6}`)}, []string{`orders/1=6{"n":6}`}},
		"what is gone by now":                {[]step{gone, gone}, []any{begin, one, patch(9, 6), change(10, "orders/1", "put", 7, `,"patch":{"n":7}`)}, nil},
		"nothing of what is deleted anyway":  {nil, []any{begin, one, change(9, "orders/1", "delete", 7, "")}, nil},
		"what is gone by now and comes back": {[]step{gone}, []any{begin, one, patch(9, 6), change(10, "orders/1", "delete", 7, ""), change(11, "orders/1", "put", 8, `,"patch":{"n":8}`)}, []string{`orders/1=8{"n":8}`}},
	} {
		t.Run(name, func(t *testing.T) {
			reads := &script{steps: tt.answers}
			r := NewReplica(mustNew(t, Options{HTTPClient: &http.Client{Transport: reads}}))
			if got := take(t, r, tt.parts...); !slices.Equal(got, tt.want) || len(reads.requests) != len(tt.answers) {
				t.Errorf("got %q after %d reads, want %q after %d", got, len(reads.requests), tt.want, len(tt.answers))
			}
		})
	}
	r := NewReplica(mustNew(t, Options{HTTPClient: &http.Client{Transport: &script{steps: []step{denied}}}}))
	messages := all(t, begin, one, patch(9, 6))
	for _, m := range messages[:2] {
		if err := r.Take(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.Take(t.Context(), messages[2]); !errors.Is(err, &roxy.Problem{Code: roxy.Forbidden}) {
		t.Errorf("a read that is refused: %v", err)
	}
}
