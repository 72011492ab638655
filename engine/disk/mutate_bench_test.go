package disk

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/engine"
)

// benchMutation puts an order of a bar, about as large as benchEvent's; two of its fields differ from the one before.
func benchMutation(b *testing.B, n, entities int) engine.Mutation {
	b.Helper()
	doc := fmt.Appendf(nil, // canonical
		`{"items":[{"n":2,"sku":"beer-05"},{"n":1,"sku":"olives"}],"note":%q,"order":%d,"status":"s%d","table":12}`, strings.Repeat("x", 80), n, n%7)
	return engine.Mutation{Mutation: roxy.Mutation{
		Op: roxy.Put, Topic: event(b, fmt.Sprintf("orders/%d", n%entities), "").Topic, Data: doc, Guard: roxy.GuardNone, By: "u7", Device: "tablet", Seq: uint64(n),
	}}
}

// BenchmarkMutate changes a thousand entities, one with each call, from many callers at once.
func BenchmarkMutate(b *testing.B) {
	for _, callers := range []int{1, 16, 64, 256} {
		for _, keyed := range []bool{false, true} {
			b.Run(fmt.Sprintf("callers=%d/keyed=%v", callers, keyed), func(b *testing.B) {
				e := open(b, Options{})
				drain(b, e)
				b.ReportAllocs()
				b.ResetTimer()
				concurrently(b, callers, func(n int) error {
					m := benchMutation(b, n, 1000)
					if keyed {
						m.ID = fmt.Sprintf("mutation-%d", n)
					}
					_, err := e.Mutate(context.Background(), "bar", []engine.Mutation{m})
					return err
				})
				s := e.Stats()
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "mutations/s")
				b.ReportMetric(float64(s.Commits)/float64(s.Groups), "calls/sync")
			})
		}
	}
}

// BenchmarkContention has 64 writers change one entity, each on top of what it saw last: after a conflict it looks and
// tries again. conflicts/op is how often that was, for each change that succeeded.
func BenchmarkContention(b *testing.B) {
	const writers = 64
	for _, tt := range []struct {
		name  string
		guard roxy.Guard
		own   bool // each writer has a field of its own
	}{
		{"version", roxy.GuardVersion, true},
		{"fields/a field of its own", roxy.GuardFields, true},
		{"fields/the same field", roxy.GuardFields, false},
	} {
		b.Run(tt.name, func(b *testing.B) {
			e := open(b, Options{})
			drain(b, e)
			first := benchMutation(b, 0, 1)
			if _, err := e.Mutate(context.Background(), "bar", []engine.Mutation{first}); err != nil {
				b.Fatal(err)
			}
			var conflicts, device atomic.Int64
			seen := sync.Pool{New: func() any { return &writer{device: fmt.Sprintf("tablet-%d", device.Add(1)), version: 1} }}
			b.ResetTimer()
			concurrently(b, writers, func(n int) error {
				w := seen.Get().(*writer)
				defer seen.Put(w)
				field := "status"
				if tt.own {
					field = w.device
				}
				for {
					w.seq++
					m := engine.Mutation{Mutation: roxy.Mutation{
						Op: roxy.Patch, Topic: first.Topic, Data: fmt.Appendf(nil, `{%q:"%s of %d"}`, field, w.device, n), Guard: tt.guard,
						Base: w.version, By: "u7", Device: w.device, Seq: w.seq,
					}}
					done, err := e.Mutate(context.Background(), "bar", []engine.Mutation{m})
					if err == nil {
						if tt.guard == roxy.GuardVersion { // with fields, what was seen is still what was seen
							w.version = done[0].Version
						}
						return nil
					}
					if refusal, ok := errors.AsType[*engine.Refusal](err); !ok || refusal.Problem.Code != roxy.VersionConflict {
						return err
					}
					conflicts.Add(1)
					now, err := e.Entity(context.Background(), "bar", first.Topic)
					if err != nil {
						return err
					}
					w.version = now.Version
				}
			})
			b.ReportMetric(float64(conflicts.Load())/float64(b.N), "conflicts/op")
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "changes/s")
		})
	}
}

// writer is one device and what it saw last.
type writer struct {
	device       string
	version, seq uint64
}

// concurrently has callers do b.N things, number 1 first.
func concurrently(b *testing.B, callers int, do func(n int) error) {
	b.Helper()
	var next atomic.Int64
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			for {
				n := int(next.Add(1))
				if n > b.N {
					return
				}
				if err := do(n); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}
