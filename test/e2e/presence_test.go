package e2e

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/client"
	"github.com/roxyhub/roxy/internal/testkit"
)

// attendees is a set of devices, USER/DEVICE.
type attendees map[string]bool

// watchman is a subscriber to presence that holds who is present by the rule of docs/protocol.md §9.
type watchman struct {
	client *client.Client

	mu     sync.Mutex
	held   attendees
	lists  int
	absent attendees // nobody of these may be told as present
	err    error
}

func (w *watchman) run(ctx context.Context, pattern roxy.Pattern) {
	for m, err := range w.client.Subscribe(ctx, client.Subscription{Patterns: []roxy.Pattern{pattern}, Device: "watch"}) {
		w.mu.Lock()
		if err != nil && ctx.Err() == nil {
			w.err = err
		}
		if p, ok := m.(client.Presence); ok {
			w.take(p)
		}
		w.mu.Unlock()
	}
}

func (w *watchman) take(p client.Presence) {
	if p.All {
		w.held = attendees{}
		w.lists++
	}
	for _, d := range p.Joined {
		name := d.User + "/" + d.Device
		if w.absent[name] {
			w.err = fmt.Errorf("%s is told as present, and did not come back", name)
		}
		if w.held[name] {
			w.err = fmt.Errorf("%s joined twice", name)
		}
		w.held[name] = true
	}
	for _, d := range p.Left {
		name := d.User + "/" + d.Device
		if !w.held[name] {
			w.err = fmt.Errorf("%s left, and was not there", name)
		}
		delete(w.held, name)
	}
}

// settle waits until the watchman holds want, and the hub answers the same to who asks.
func (w *watchman) settle(t *testing.T, lists int, want attendees) {
	t.Helper()
	until(t, 30*time.Second, fmt.Sprintf("the presence of %d devices", len(want)), func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.err != nil {
			t.Fatal(w.err)
		}
		return w.lists >= lists && maps.Equal(w.held, want)
	})
	asked := attendees{}
	for u, err := range w.client.Presence(t.Context(), roxy.Topic{}) {
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range u.Devices {
			asked[u.User+"/"+d.Device] = true
		}
	}
	if !maps.Equal(asked, want) {
		t.Errorf("asked, the hub tells %v, want %v", slices.Sorted(maps.Keys(asked)), slices.Sorted(maps.Keys(want)))
	}
}

// After kill -9 nobody is present who did not come back, and everybody who did, however many times it happens.
func TestPresenceAfterKillNineIsOfWhoCameBack(t *testing.T) {
	const users = 20
	hub := testkit.Start(t, testkit.Config{YAML: "presence: { grace: 1s }\n"})
	as := func(user, read string) *client.Client {
		pattern, err := roxy.ParsePattern(read)
		if err != nil {
			t.Fatal(err)
		}
		token := hub.Token(t, testkit.Claims{User: user, Grant: roxy.Grant{Read: []roxy.Pattern{pattern}}})
		transport := &http.Transport{}
		t.Cleanup(transport.CloseIdleConnections)
		c, err := client.New(client.Options{
			URL: hub.URL, HTTPClient: &http.Client{Transport: transport},
			Backoff: client.Backoff{Base: 50 * time.Millisecond, Max: 200 * time.Millisecond, Floor: 10 * time.Millisecond},
			Token:   func(context.Context) (string, error) { return token, nil },
		})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	var running sync.WaitGroup
	follow := func(run func(context.Context)) (stop context.CancelFunc) {
		ctx, cancel := context.WithCancel(t.Context())
		running.Go(func() { run(ctx) })
		return cancel
	}
	presence, err := roxy.ParsePattern("roxy/presence")
	if err != nil {
		t.Fatal(err)
	}
	orders, err := roxy.ParsePattern("orders/*")
	if err != nil {
		t.Fatal(err)
	}
	w := &watchman{client: as("watch", "roxy/presence"), held: attendees{}, absent: attendees{}}
	stops := []context.CancelFunc{follow(func(ctx context.Context) { w.run(ctx, presence) })}
	defer func() {
		for _, stop := range stops {
			stop()
		}
		running.Wait()
	}()
	here := attendees{"watch/watch": true}
	leave := map[string]context.CancelFunc{}
	for i := range users {
		user := fmt.Sprintf("u%d", i)
		c := as(user, "orders/*")
		for _, device := range []string{user + "-tablet", user + "-phone", ""}[i%3:] {
			name := user + "/" + device
			here[name] = true
			leave[name] = follow(func(ctx context.Context) {
				for _, err := range c.Subscribe(ctx, client.Subscription{Patterns: []roxy.Pattern{orders}, Device: device}) {
					if err != nil && ctx.Err() == nil {
						t.Errorf("%s: %v", name, err)
					}
				}
			})
			stops = append(stops, leave[name])
		}
	}
	w.settle(t, 1, here)
	for round := range 4 {
		hub.Kill9(t)
		w.mu.Lock()
		lists := w.lists
		gone := 0
		for name, stop := range leave {
			if gone++; gone > len(leave)/4 {
				break
			}
			stop()
			delete(leave, name)
			delete(here, name)
			w.absent[name] = true
		}
		w.mu.Unlock()
		hub.Restart(t)
		w.settle(t, lists+1, here)
		t.Logf("round %d: %d devices are back", round+1, len(here))
	}
	for name, stop := range leave { // and who leaves a hub that lives is gone after the grace
		stop()
		delete(here, name)
	}
	w.settle(t, 1, here)
}
