package enginetest

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/roxyhub/roxy"
)

func targetsMatch(t *testing.T, e Attentive) {
	for _, d := range []struct {
		name, user, pattern string
		roles, types        []string
	}{
		{"all", "ann", "**", nil, nil},
		{"calls", "ann", "calls/*", nil, []string{"call", "other"}},
		{"other topic", "ann", "orders/*", nil, nil},
		{"other type", "ann", "calls/*", nil, []string{"message"}},
		{"waiter", "bob", "calls/1", []string{"kitchen", "waiter"}, nil},
		{"cook", "cem", "calls/**", []string{"kitchen"}, nil},
	} {
		device := newDevice(t, d.name, d.user, d.pattern)
		device.Roles, device.Types = d.roles, d.types
		register(t, e, "bar", device)
	}
	register(t, e, "pub", newDevice(t, "elsewhere", "ann", "**"))
	changed := newDevice(t, "changed", "ann", "calls/*")
	register(t, e, "bar", changed)
	register(t, e, "bar", newDevice(t, "changed", "ann", "orders/*"))
	register(t, e, "bar", newDevice(t, "forgotten", "ann", "calls/*"))
	if err := e.Forget(t.Context(), "bar", "ann", "forgotten"); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		to     roxy.Audience
		except string
		want   []string
	}{
		"for everyone":           {roxy.Audience{}, "", []string{"all", "calls", "cook", "waiter"}},
		"for a role":             {roxy.Audience{Roles: []string{"waiter"}}, "", []string{"waiter"}},
		"for a user":             {roxy.Audience{Users: []string{"ann"}}, "", []string{"all", "calls"}},
		"for a role and a user":  {roxy.Audience{Roles: []string{"kitchen"}, Users: []string{"bob"}}, "", []string{"cook", "waiter"}},
		"for all but the sender": {roxy.Audience{}, "calls", []string{"all", "cook", "waiter"}},
		"for nobody":             {roxy.Audience{Users: []string{"dan"}}, "", []string{}},
	} {
		ev := newCritical(t, roxy.AckDevice)
		ev.To, ev.Except = tt.to, tt.except
		c := critical(t, e, commitCritical(t, e, ev))
		if got := names(c.Targets); !slices.Equal(got, tt.want) {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
		if c.By != ev.By || c.Topic != ev.Topic || c.Type != ev.Type || c.Ack != *ev.Ack || c.Epoch != bounds(t, e, "bar").Epoch || !c.Time.Equal(time.Now()) {
			t.Errorf("%s: %+v of %+v", name, c, ev)
		}
	}
}

func targetsAtOnce(t *testing.T, e Attentive) {
	const devices, events = 16, 16
	register(t, e, "bar", newDevice(t, "keeper", "ann", "calls/*")) // so that there is always somebody
	var wg sync.WaitGroup
	since := make([]uint64, devices)
	offsets := make([]uint64, events)
	for i := range devices {
		wg.Go(func() {
			r, err := e.Register(t.Context(), "bar", newDevice(t, fmt.Sprintf("d-%02d", i), "ann", "calls/*"), 0)
			if err != nil {
				t.Error(err)
			}
			since[i] = r.Cursor.Offset
		})
	}
	for i := range events {
		wg.Go(func() {
			r, err := e.Commit(t.Context(), "bar", []roxy.Event{newCritical(t, roxy.AckAny)})
			if err != nil {
				t.Error(err)
				return
			}
			offsets[i] = r.Entries[0].Offset
		})
	}
	wg.Wait()
	for _, offset := range offsets {
		c := critical(t, e, offset)
		for i := range devices {
			name := fmt.Sprintf("d-%02d", i)
			if got, want := c.Target(name) != nil, since[i] < offset; got != want {
				t.Errorf("%s, which begins behind %d, is a target of %d: %t", name, since[i], offset, got)
			}
		}
	}
}
