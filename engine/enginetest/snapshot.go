package enginetest

import (
	"errors"
	"fmt"
	"reflect"
	"testing"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/engine"
)

func snapshotStays(t *testing.T, e Stateful) {
	one, two := mustTopic(t, "orders/1"), mustTopic(t, "orders/2")
	mutate(t, e, put(one, `{"a":1}`), put(two, `{"b":1}`))
	s, err := e.Snapshot(t.Context(), "bar")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	mutate(t, e, patch(one, `{"a":2}`), remove(two), put(mustTopic(t, "orders/3"), `{}`))
	if b := s.Bounds(); b.Head != 2 || b.Epoch != bounds(t, e, "bar").Epoch {
		t.Errorf("bounds %+v", b)
	}
	all, err := roxy.ParsePattern("**")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for en, err := range s.Entities(t.Context(), []roxy.Pattern{all}, roxy.Topic{}) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, fmt.Sprint(en.Topic, " ", en.Version, " ", string(en.Data)))
	}
	if want := []string{`orders/1 1 {"a":1}`, `orders/2 1 {"b":1}`}; !reflect.DeepEqual(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	s.Close()
	for _, err := range s.Entities(t.Context(), []roxy.Pattern{all}, roxy.Topic{}) {
		if !errors.Is(err, engine.ErrClosed) {
			t.Errorf("a closed snapshot is read: %v", err)
		}
	}
}

func snapshotSelects(t *testing.T, e Stateful) {
	var all []engine.Mutation
	for i := range 600 {
		all = append(all, put(mustTopic(t, fmt.Sprintf("orders/%03d", i)), `{}`))
	}
	for _, topic := range []string{"orders", "orders/1/lines", "ordersx/1", "tables/1"} {
		all = append(all, put(mustTopic(t, topic), `{}`))
	}
	mutate(t, e, all...)
	mutate(t, e, remove(mustTopic(t, "orders/005")))
	if _, err := e.Mutate(t.Context(), "other", []engine.Mutation{put(mustTopic(t, "orders/000"), `{"of":"another tenant"}`)}); err != nil {
		t.Fatal(err)
	}
	s, err := e.Snapshot(t.Context(), "bar")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for name, tt := range map[string]struct {
		patterns    []string
		after       string
		n           int
		first, last string
	}{
		"everything":            {[]string{"**"}, "", 603, "orders", "tables/1"},
		"one level":             {[]string{"orders/*"}, "", 599, "orders/000", "orders/599"},
		"behind a topic":        {[]string{"orders/*"}, "orders/597", 2, "orders/598", "orders/599"},
		"behind all":            {[]string{"orders/*"}, "tables/1", 0, "", ""},
		"two that overlap":      {[]string{"orders/**", "orders/1/*"}, "", 601, "orders", "orders/599"},
		"two apart":             {[]string{"tables/*", "ordersx/*"}, "", 2, "ordersx/1", "tables/1"},
		"one topic":             {[]string{"orders/010"}, "", 1, "orders/010", "orders/010"},
		"a wildcard in front":   {[]string{"*/1"}, "", 2, "ordersx/1", "tables/1"},
		"behind, in the second": {[]string{"orders/*", "tables/*"}, "orders/599", 1, "tables/1", "tables/1"},
	} {
		var patterns []roxy.Pattern
		for _, text := range tt.patterns {
			p, err := roxy.ParsePattern(text)
			if err != nil {
				t.Fatal(err)
			}
			patterns = append(patterns, p)
		}
		var after roxy.Topic
		if tt.after != "" {
			after = mustTopic(t, tt.after)
		}
		var got []roxy.Entity
		for en, err := range s.Entities(t.Context(), patterns, after) {
			if err != nil {
				t.Fatal(err)
			}
			if n := len(got); n > 0 && got[n-1].Topic.String() >= en.Topic.String() {
				t.Errorf("%s: %s comes behind %s", name, en.Topic, got[n-1].Topic)
			}
			got = append(got, en)
		}
		if len(got) != tt.n || tt.n > 0 && (got[0].Topic.String() != tt.first || got[tt.n-1].Topic.String() != tt.last) {
			t.Errorf("%s: %d entities, want %d from %s to %s", name, len(got), tt.n, tt.first, tt.last)
		}
	}
}
