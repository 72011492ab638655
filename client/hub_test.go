package client_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/client"
	"github.com/roxyhub/roxy/internal/testkit"
)

// However often the cable is cut while 5,000 events are published, each comes exactly once and in order.
func TestSubscribeThroughACableThatIsCut(t *testing.T) {
	const events = 5000
	hub := testkit.Start(t, testkit.Config{})
	cut := newCable(t, strings.TrimPrefix(hub.URL, "http://"), 6<<10)
	follower := newClient(t, hub, "http://"+cut.address)
	published := publish(t, newClient(t, hub, hub.URL), events)
	follow(t, follower, events, func(int) {})
	if err := <-published; err != nil {
		t.Error(err)
	}
	if cuts := cut.cuts.Load(); cuts < 10 {
		t.Errorf("the cable was cut %d times only", cuts)
	}
}

// A hub that is killed or drained while events are published costs its subscriber none and gives it none twice: the
// publisher repeats what was not answered, the subscriber resumes.
func TestSubscribeAcrossTheDeathsOfTheHub(t *testing.T) {
	const events = 3000
	hub := testkit.Start(t, testkit.Config{YAML: "drain: { over: 100ms }\n"})
	published := publish(t, newClient(t, hub, hub.URL), events)
	deaths := map[int]func(testing.TB){100: hub.Kill9, 900: hub.Stop, 1700: hub.Kill9}
	follow(t, newClient(t, hub, hub.URL), events, func(n int) {
		if die, ok := deaths[n]; ok {
			die(t)
			hub.Restart(t)
		}
	})
	if err := <-published; err != nil {
		t.Error(err)
	}
}

func TestSubscribeIsToldWhatTheHubRefuses(t *testing.T) {
	hub := testkit.Start(t, testkit.Config{})
	c := newClientAs(t, hub, hub.URL, testkit.Claims{User: "k", Roles: []string{"kitchen"}})
	var end error
	for _, err := range c.Subscribe(t.Context(), client.Subscription{Patterns: []roxy.Pattern{pattern(t, "orders/*"), pattern(t, "payments/*")}}) {
		end = err
	}
	p, ok := end.(*roxy.Problem) //nolint:errorlint // the error itself is promised
	if !ok || p.Code != roxy.Forbidden || p.Member != "topic" || !strings.Contains(p.Detail, "payments/*") {
		t.Fatalf("ends with %v", end)
	}
}

// An expired token is renewed without the caller's knowing, and a stream outlives several of them.
func TestSubscribeRenewsItsToken(t *testing.T) {
	const events = 2
	hub := testkit.Start(t, testkit.Config{YAML: "drain: { over: 100ms }\n"})
	asked := 0
	c, err := client.New(client.Options{URL: hub.URL, Backoff: steady(), HTTPClient: ownTransport(t), Token: func(context.Context) (string, error) {
		asked++
		return hub.Token(t, testkit.Claims{User: "u", Roles: []string{"everything"}, Expires: time.Now().Add(2 * time.Second)}), nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	// The next event is published when the hub has closed a stream and the client has come back.
	publisher := newClient(t, hub, hub.URL)
	n, lives := 0, 0
	for m, err := range c.Subscribe(t.Context(), client.Subscription{Patterns: []roxy.Pattern{pattern(t, "orders/*")}}) {
		if err != nil {
			t.Fatal(err)
		}
		switch m := m.(type) {
		case client.Live:
			if err := <-publish(t, publisher, 1); err != nil {
				t.Fatal(err)
			}
			lives++
		case client.Event:
			if n++; m.Offset != uint64(n) {
				t.Fatalf("event %d is at %s", n, m.Cursor)
			}
		}
		if n == events {
			break
		}
	}
	if lives != events || asked != events {
		t.Fatalf("%d connections with %d tokens, want %d", lives, asked, events)
	}
}

// publish publishes orders whose data counts them, and tells how it ended.
func publish(t *testing.T, c *client.Client, events int) <-chan error {
	t.Helper()
	topic, err := roxy.ParseTopic("orders/7")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		const batch = 50
		var some []roxy.Event
		for n := range events {
			some = append(some, roxy.Event{Topic: topic, Type: "order:new", Data: fmt.Append(nil, n)})
			if len(some) < batch && n+1 < events {
				continue
			}
			if _, err := c.Publish(t.Context(), some...); err != nil {
				done <- err
				return
			}
			some = some[:0]
		}
		done <- nil
	}()
	return done
}

// follow expects the orders that publish counts, each once and in order, and calls after behind each.
func follow(t *testing.T, c *client.Client, events int, after func(n int)) {
	t.Helper()
	n := 0
	for m, err := range c.Subscribe(t.Context(), client.Subscription{Patterns: []roxy.Pattern{pattern(t, "orders/*")}, Earliest: true}) {
		if err != nil {
			t.Fatal(err)
		}
		switch m := m.(type) {
		case client.Event:
			if want := fmt.Sprint(n); string(m.Data) != want {
				t.Fatalf("got %s at %s, want %s", m.Data, m.Cursor, want)
			}
			n++
			after(n)
		case client.Reset:
			t.Fatalf("reset for %s at %s", m.Reason, m.Cursor)
		}
		if n == events {
			return
		}
	}
	t.Fatalf("the subscription ended after %d events", n)
}

func pattern(t *testing.T, s string) roxy.Pattern {
	t.Helper()
	p, err := roxy.ParsePattern(s)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// steady keeps the tests quick without making them a storm.
func steady() client.Backoff {
	return client.Backoff{Base: 20 * time.Millisecond, Max: 20 * time.Millisecond, Floor: 10 * time.Millisecond}
}

func newClient(t *testing.T, hub *testkit.Hub, url string) *client.Client {
	t.Helper()
	return newClientAs(t, hub, url, testkit.Claims{User: "u", Roles: []string{"everything"}})
}

func newClientAs(t *testing.T, hub *testkit.Hub, url string, claims testkit.Claims) *client.Client {
	t.Helper()
	token := hub.Token(t, claims)
	c, err := client.New(client.Options{
		URL: url, Backoff: steady(), HTTPClient: ownTransport(t), PublishAttempts: 1000,
		Token: func(context.Context) (string, error) { return token, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// ownTransport keeps the connections of a test to itself and closes them behind it.
func ownTransport(t *testing.T) *http.Client {
	t.Helper()
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}
