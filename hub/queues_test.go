package hub

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/engine"
)

// What is asked once for all devices of a kind is what each of them would be told.
func TestQueuesHoldWhatIsAddressedToTheDeviceBehindItsCursor(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		few := func(what string, of ...string) []string {
			return slices.Compact(slices.Sorted(slices.Values(rapid.SliceOfN(rapid.SampledFrom(of), 0, 2).Draw(rt, what))))
		}
		bounds := engine.Bounds{Epoch: "now", First: 1, Head: 40}
		devices := make([]roxy.Device, rapid.IntRange(0, 12).Draw(rt, "devices"))
		for i := range devices {
			d := &devices[i]
			d.Name, d.User = fmt.Sprint("d", i), rapid.SampledFrom([]string{"u1", "u2", "u3"}).Draw(rt, "user")
			d.Roles, d.Types = few("roles", "waiter", "kitchen"), few("types", "a", "b")
			for _, p := range few("patterns", "orders/*", "orders/1", "tables/**") {
				d.Patterns = append(d.Patterns, pattern(t, p))
			}
			d.Cursor = roxy.Cursor{Epoch: rapid.SampledFrom([]string{"now", "now", "then"}).Draw(rt, "epoch"), Offset: rapid.Uint64Range(0, 40).Draw(rt, "cursor")}
		}
		queues := make([]Queue, len(devices))
		kinds, behind := byKind(devices, queues, bounds)
		want := make([]Queue, len(devices))
		for offset := uint64(1); offset <= bounds.Head; offset++ {
			e := event(t, rapid.SampledFrom([]string{"orders/1", "orders/2", "tables/1/2", "else"}).Draw(rt, "topic"), "1")
			e.Offset, e.Time = offset, time.Unix(int64(offset), 0)
			e.Type, e.Except = rapid.SampledFrom([]string{"a", "b", "c"}).Draw(rt, "type"), rapid.SampledFrom([]string{"", "", "d0", "d1"}).Draw(rt, "except")
			e.To = roxy.Audience{Roles: few("to roles", "waiter", "kitchen"), Users: few("to users", "u1", "u2")}
			for _, k := range kinds {
				k.count(&e)
			}
			for i := range devices {
				d := &devices[i]
				if d.Cursor.Epoch != bounds.Epoch || d.Cursor.Offset >= offset || !d.Addressed(&e) {
					continue
				}
				if offset <= behind {
					rt.Fatalf("%s waits for %d, which lies not behind %d", d.Name, offset, behind)
				}
				if want[i].Size++; want[i].Size == 1 {
					want[i].Oldest = e.Time
				}
			}
		}
		for i := range want {
			want[i].Device = devices[i].Name
		}
		if !slices.Equal(queues, want) {
			rt.Fatalf("got  %+v\nwant %+v", queues, want)
		}
	})
}

func TestQueuesAreOfWhoeverHasSomethingWaitingAmongTheLastEvents(t *testing.T) {
	f := startHub(t, Options{MaxBatch: queuesOver + 100})
	u7, u8 := all(t, "bar", "u7"), all(t, "bar", "u8")
	for device, who := range map[string]roxy.Identity{"board": u7, "till": u7, "phone": u8} {
		r, stop := f.subscribe(t, Subscription{Identity: who, Patterns: []roxy.Pattern{pattern(t, "orders/*")}, Device: device})
		r.awaitLine(t, "C roxy:live")
		_ = stop()
	}
	if queues, err := f.Queues(t.Context(), "bar"); err != nil || len(queues) != 0 {
		t.Fatalf("nothing was published: %+v, %v", queues, err)
	}
	private := event(t, "orders/1", "1")
	private.To = roxy.Audience{Users: []string{"u8"}}
	published := f.publish(t, u7, event(t, "orders/1", "1"), event(t, "tables/1", "1"), private, event(t, "orders/2", "1"))
	if _, _, err := f.Acknowledge(t.Context(), u7, Acks{Device: "till", Delivered: &published[3].Cursor}); err != nil {
		t.Fatal(err)
	}
	queues, err := f.Queues(t.Context(), "bar")
	if err != nil || len(queues) != 2 || queues[0].Device != "phone" || queues[0].Size != 3 || queues[1].Device != "board" || queues[1].Size != 2 ||
		queues[0].Oldest.IsZero() || !queues[0].Oldest.Equal(queues[1].Oldest) {
		t.Fatalf("%+v, %v", queues, err)
	}
	if queues, err := f.Queues(t.Context(), "club"); err != nil || len(queues) != 0 {
		t.Errorf("another tenant: %+v, %v", queues, err)
	}
	many := make([]roxy.Event, queuesOver+50)
	for i := range many {
		many[i] = event(t, "orders/3", "1")
	}
	f.publish(t, u7, many...)
	queues, err = f.Queues(t.Context(), "bar")
	if err != nil || len(queues) != 3 || queues[0].Size != queuesOver || queues[2].Size != queuesOver {
		t.Fatalf("%+v, %v", queues, err)
	}
}

func BenchmarkQueuesOfAThousandDevices(b *testing.B) {
	topic, _ := roxy.ParseTopic("orders/1")
	devices, bounds := make([]roxy.Device, 1000), engine.Bounds{Epoch: "now", First: 1, Head: queuesOver}
	for i := range devices {
		kind, _ := roxy.ParsePattern([]string{"orders/*", "tables/**", "orders/1", "menu/*", "calls/*"}[i%5])
		devices[i] = roxy.Device{Name: fmt.Sprint("d", i), User: fmt.Sprint("u", i), Patterns: []roxy.Pattern{kind}, Cursor: roxy.Cursor{Epoch: "now", Offset: uint64(9 * i)}}
	}
	b.ReportAllocs()
	for b.Loop() {
		kinds, _ := byKind(devices, make([]Queue, len(devices)), bounds)
		for offset := uint64(1); offset <= bounds.Head; offset++ {
			e := roxy.Event{Topic: topic, Type: "order:new", Offset: offset}
			for _, k := range kinds {
				k.count(&e)
			}
		}
	}
}
