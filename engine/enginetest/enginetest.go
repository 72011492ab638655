// Package enginetest holds the contract of package engine as tests. A new engine passes all of them before anything
// uses it; they take a constructor and nothing else, so that no engine is tested by rules of its own.
package enginetest

import (
	"fmt"
	"reflect"
	"testing"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/engine"
)

// TrimmableLog is a log that can be made to forget.
type TrimmableLog interface {
	engine.Log
	engine.Trimmer
}

// Log runs the contract of engine.Log against what open returns: an engine of its own each time, empty, and closed
// by t's cleanup.
func Log(t *testing.T, open func(t *testing.T) engine.Log) {
	t.Helper()
	for _, law := range logLaws() {
		t.Run(law.name, func(t *testing.T) { law.holds(t, open(t)) })
	}
}

// Trimmer runs the contract of engine.Trimmer against what open returns, as Log does.
func Trimmer(t *testing.T, open func(t *testing.T) TrimmableLog) {
	t.Helper()
	for _, law := range trimLaws() {
		t.Run(law.name, func(t *testing.T) { law.holds(t, open(t)) })
	}
}

type law[L engine.Log] struct {
	name  string
	holds func(t *testing.T, log L)
}

func mustTopic(t testing.TB, s string) roxy.Topic {
	t.Helper()
	topic, err := roxy.ParseTopic(s)
	if err != nil {
		t.Fatal(err)
	}
	return topic
}

func newEvent(t testing.TB, topic, id string) roxy.Event {
	t.Helper()
	return roxy.Event{Topic: mustTopic(t, topic), Type: "order:new", By: "waiter-7", ID: id, Data: fmt.Appendf(nil, `{"id":%q}`, id)}
}

func newEvents(t testing.TB, topic string, n int) []roxy.Event {
	t.Helper()
	events := make([]roxy.Event, n)
	for i := range events {
		events[i] = newEvent(t, topic, "")
		events[i].Data = fmt.Append(nil, i)
	}
	return events
}

func commit(t testing.TB, log engine.Log, tenant string, events ...roxy.Event) engine.Receipt {
	t.Helper()
	receipt, err := log.Commit(t.Context(), tenant, events)
	if err != nil {
		t.Fatalf("commit: %v", err)
	}
	if len(receipt.Entries) != len(events) {
		t.Fatalf("%d entries for %d events", len(receipt.Entries), len(events))
	}
	return receipt
}

func readAll(t testing.TB, log engine.Log, tenant string, query engine.Query) []roxy.Event {
	t.Helper()
	var events []roxy.Event
	for ev, err := range log.Read(t.Context(), tenant, query) {
		if err != nil {
			t.Fatalf("read %+v: %v", query, err)
		}
		events = append(events, ev)
	}
	return events
}

func readError(t testing.TB, log engine.Log, tenant string, query engine.Query) error {
	t.Helper()
	for _, err := range log.Read(t.Context(), tenant, query) {
		if err != nil {
			return err
		}
	}
	return nil
}

func bounds(t testing.TB, log engine.Log, tenant string) engine.Bounds {
	t.Helper()
	b, err := log.Bounds(t.Context(), tenant)
	if err != nil {
		t.Fatalf("bounds: %v", err)
	}
	return b
}

func offsetsOf(events []roxy.Event) []uint64 {
	out := make([]uint64, len(events))
	for i := range events {
		out[i] = events[i].Offset
	}
	return out
}

// numbers returns from, from+1, … to.
func numbers(from, to uint64) []uint64 {
	out := []uint64{}
	for ; from <= to; from++ {
		out = append(out, from)
	}
	return out
}

func wantOffsets(t testing.TB, events []roxy.Event, want []uint64) {
	t.Helper()
	if got := offsetsOf(events); !reflect.DeepEqual(got, want) {
		t.Errorf("offsets %v, want %v", got, want)
	}
}
