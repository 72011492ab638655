package enginetest

import (
	"context"
	"fmt"
	"reflect"
	"sync"
	"testing"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/engine"
)

func storedResults(t *testing.T, e Stateful) {
	topic := mustTopic(t, "orders/1")
	m := put(topic, `{"a":1}`)
	m.ID = "m-1"
	first := mutate(t, e, m)[0]
	again := mutate(t, e, m)[0]
	if again.Duplicate = false; !reflect.DeepEqual(first, again) {
		t.Errorf("first %+v, then %+v", first, again)
	}
	wantEntity(t, e, topic, 1, `{"a":1}`)
	other := m
	other.Data = []byte(`{"a":2}`)
	wantRefused(t, e, roxy.KeyReused, other)
	theirs := other
	theirs.By = "waiter-8"
	mutate(t, e, theirs) // another author's ids are others
	late := guarded(patch(topic, `{"a":3}`), roxy.GuardVersion, 1)
	late.ID = "m-2"
	wantRefused(t, e, roxy.VersionConflict, late)
	mutate(t, e, put(mustTopic(t, "orders/2"), `{}`))
	if r := refused(t, e, late); r.Problem.Code != roxy.VersionConflict || !r.Stored {
		t.Error("a repeated refusal was decided anew")
	}
	double := put(mustTopic(t, "orders/3"), `{"a":1}`)
	double.ID = "m-3"
	if r := mutate(t, e, double, double); r[0].Version != 1 || r[1].Version != 1 || !r[1].Duplicate {
		t.Errorf("twice in a call: %+v", r)
	}
	results, err := e.Results(t.Context(), "bar", "waiter-7", []string{"m-1", "m-2", "m-9"})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range results {
		got = append(got, fmt.Sprint(r.ID, " ", r.Outcome, " ", r.Version))
	}
	if want := []string{"m-1 committed 1", "m-2 refused 0", "m-9 unknown 0"}; !reflect.DeepEqual(got, want) {
		t.Errorf("results %q, want %q", got, want)
	}
	if p := results[1].Problem; p == nil || p.Code != roxy.VersionConflict {
		t.Errorf("the refusal is kept as %v", p)
	}
}

func cancelled(t *testing.T, e Stateful) {
	topic := mustTopic(t, "orders/1")
	m := put(topic, `{"a":1}`)
	m.ID = "m-1"
	for range 2 {
		r, err := e.Cancel(t.Context(), "bar", m.By, m.ID)
		if err != nil || r.Outcome != roxy.Cancelled {
			t.Fatalf("cancel: %+v, %v", r, err)
		}
	}
	for range 2 {
		wantRefused(t, e, roxy.WasCancelled, m)
	}
	wantEntity(t, e, topic, 0, "")
	m.ID = "m-2"
	mutate(t, e, m)
	if r, err := e.Cancel(t.Context(), "bar", m.By, m.ID); err != nil || r.Outcome != roxy.Committed || r.Version != 1 {
		t.Errorf("a committed one is cancelled: %+v, %v", r, err)
	}
	// Whoever comes first, both are told the same.
	for i := range 50 {
		m.ID = fmt.Sprint("race-", i)
		before := entity(t, e, topic).Version
		var wg sync.WaitGroup
		var outcome roxy.Outcome
		wg.Go(func() {
			r, err := e.Cancel(context.WithoutCancel(t.Context()), "bar", m.By, m.ID)
			if err != nil {
				t.Error(err)
			}
			outcome = r.Outcome
		})
		_, err := e.Mutate(t.Context(), "bar", []engine.Mutation{m})
		wg.Wait()
		committed := entity(t, e, topic).Version > before
		if committed != (outcome == roxy.Committed) || committed != (err == nil) {
			t.Fatalf("committed: %t, cancel says %s, mutate says %v", committed, outcome, err)
		}
	}
}
