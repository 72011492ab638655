package client_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/client"
	"github.com/roxyhub/roxy/internal/testkit"
)

// bar is the device of these tests.
func bar(t *testing.T) client.Subscription {
	t.Helper()
	return client.Subscription{Patterns: []roxy.Pattern{pattern(t, "orders/*")}, Device: "bar-1"}
}

// attend follows sub and calls handle with each message until that returns false.
func attend(t *testing.T, c *client.Client, sub client.Subscription, handle func(client.Message) bool) {
	t.Helper()
	for m, err := range c.Subscribe(t.Context(), sub) {
		if err != nil {
			t.Fatal(err)
		}
		if !handle(m) {
			return
		}
	}
	t.Fatal("the subscription ended by itself")
}

// registered makes the hub know the device of sub.
func registered(t *testing.T, c *client.Client, sub client.Subscription) {
	t.Helper()
	attend(t, c, sub, func(m client.Message) bool { _, live := m.(client.Live); return !live })
}

// A tablet that lost its memory goes on behind what it had handled: what it was given last, and did not finish, comes first.
func TestADeviceThatWasWipedResumes(t *testing.T) {
	hub := testkit.Start(t, testkit.Config{})
	c := newClient(t, hub, hub.URL)
	registered(t, c, bar(t))
	if err := <-publish(t, c, 5); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, leave := range []string{"2", "2", "4"} {
		attend(t, newClient(t, hub, hub.URL), bar(t), func(m client.Message) bool {
			if e, ok := m.(client.Event); ok {
				got = append(got, string(e.Data))
				return string(e.Data) != leave
			}
			return true
		})
	}
	if text := strings.Join(got, " "); text != "0 1 2 2 2 3 4" {
		t.Fatalf("got %s", text)
	}
}

func TestTheLaterConnectionOfADeviceEndsTheOlder(t *testing.T) {
	hub := testkit.Start(t, testkit.Config{})
	older, later := newClient(t, hub, hub.URL), newClient(t, hub, hub.URL)
	there, end := make(chan struct{}), make(chan error, 1)
	go func() {
		for m, err := range older.Subscribe(t.Context(), bar(t)) {
			if err != nil {
				end <- err
			} else if _, live := m.(client.Live); live {
				close(there)
			}
		}
		close(end)
	}()
	<-there
	attend(t, later, bar(t), func(m client.Message) bool {
		if _, live := m.(client.Live); live {
			if err := <-end; !errors.Is(err, client.ErrReplaced) {
				t.Errorf("the older ended with %v", err)
			}
			if err := <-publish(t, later, 1); err != nil {
				t.Error(err)
			}
		}
		_, event := m.(client.Event)
		return !event
	})
}

func TestADeviceIsToldThatItsMailboxOverflowed(t *testing.T) {
	hub := testkit.Start(t, testkit.Config{})
	c := newClient(t, hub, hub.URL)
	registered(t, c, bar(t))
	if err := <-publish(t, c, 1001); err != nil {
		t.Fatal(err)
	}
	var got []string
	attend(t, c, bar(t), func(m client.Message) bool {
		switch m := m.(type) {
		case client.Reset:
			got = append(got, m.Reason)
		case client.Live:
			if err := <-publish(t, c, 1); err != nil {
				t.Fatal(err)
			}
		case client.Event:
			got = append(got, string(m.Data))
		}
		return len(got) < 2
	})
	if text := strings.Join(got, " "); text != "overflow 0" {
		t.Fatalf("got %s", text)
	}
}

func TestADeviceThatIsForgottenEnds(t *testing.T) {
	hub := testkit.Start(t, testkit.Config{})
	c := newClient(t, hub, hub.URL)
	var end error
	for m, err := range c.Subscribe(t.Context(), bar(t)) {
		end = err
		if _, live := m.(client.Live); !live {
			continue
		}
		devices, err := c.Devices(t.Context())
		if err != nil || len(devices) != 1 || devices[0].Name != "bar-1" || !devices[0].Connected || devices[0].Transport != "sse" || devices[0].Patterns[0] != pattern(t, "orders/*") {
			t.Errorf("there are %+v, %v", devices, err)
		}
		if err := c.ForgetDevice(t.Context(), "bar-1"); err != nil {
			t.Error(err)
		}
		if err := c.ForgetDevice(t.Context(), "bar-1"); !errors.Is(err, roxy.ErrNotFound) {
			t.Errorf("forgotten again: %v", err)
		}
	}
	if !errors.Is(end, client.ErrReplaced) {
		t.Fatalf("ends with %v", end)
	}
}

// severed is a cable on which nothing comes through to one path until it is mended.
type severed struct {
	path   string
	mended chan struct{}
	cuts   atomic.Int64
	next   http.RoundTripper
}

func (s *severed) RoundTrip(req *http.Request) (*http.Response, error) {
	select {
	case <-s.mended:
	default:
		if req.URL.Path == s.path {
			s.cuts.Add(1)
			return nil, errors.New("the cable is cut")
		}
	}
	return s.next.RoundTrip(req)
}

// Each time a critical event is handled its confirmation is lost. The hub delivers it again, and offers it again after it was
// killed: it is handled once, and confirmed as soon as that can be.
func TestACriticalEventIsHandledOnceThoughItsConfirmationIsLost(t *testing.T) {
	hub := testkit.Start(t, testkit.Config{})
	publisher := newClient(t, hub, hub.URL)
	cut := &severed{path: "/v1/acks", mended: make(chan struct{}), next: ownTransport(t).Transport}
	sub := bar(t)
	sub.Confirm = true
	got := listen(t, newClientOver(t, hub, cut), sub)
	expect[client.Live](t, got)

	id := publishCritical(t, publisher, 1)[0]
	if e := expect[client.Event](t, got); e.AckID != id || e.Cursor != id || e.Attempt != 1 {
		t.Fatalf("got %s at %s, attempt %d; want %s", e.AckID, e.Cursor, e.Attempt, id)
	}
	await(t, publisher, id, func(c *client.Critical) bool { return c.Receipts[0].Attempts == 2 }) // written again
	hub.Kill9(t)
	hub.Restart(t)
	expect[client.Live](t, got)
	if cut.cuts.Load() == 0 {
		t.Error("nothing was lost")
	}
	close(cut.mended)
	if c := await(t, publisher, id, isSettled); c.Settlement != roxy.Acknowledged || c.Receipts[0].Device != "bar-1" || c.Receipts[0].Confirmed.IsZero() {
		t.Errorf("it ended as %+v", c)
	}
	next := publishCritical(t, publisher, 1)[0]
	if e := expect[client.Event](t, got); e.AckID != next {
		t.Errorf("got %s, attempt %d, before %s", e.AckID, e.Attempt, next)
	}
}

// However often the cable is cut, under events and under acknowledgements, each critical event is handled once and confirmed.
func TestCriticalEventsThroughACableThatIsCut(t *testing.T) {
	const events = 300
	hub := testkit.Start(t, testkit.Config{})
	publisher := newClient(t, hub, hub.URL)
	cut := newCable(t, strings.TrimPrefix(hub.URL, "http://"), 6<<10)
	sub := bar(t)
	registered(t, publisher, sub) // before the cuts: the device is to be known when the first event is published
	sub.Confirm = true
	got := listen(t, newClient(t, hub, "http://"+cut.address), sub)
	ids := publishCritical(t, publisher, events)
	for _, id := range ids {
		if e := expect[client.Event](t, got); e.AckID != id {
			t.Fatalf("got %s, attempt %d; want %s", e.AckID, e.Attempt, id)
		}
	}
	for _, id := range ids {
		if c := await(t, publisher, id, isSettled); c.Settlement != roxy.Acknowledged {
			t.Errorf("%s ended as %+v", id, c)
		}
	}
	if cuts := cut.cuts.Load(); cuts < 10 {
		t.Errorf("the cable was cut %d times only", cuts)
	}
}

// Who publishes hears that each device has the event, that somebody confirms, and how it ends.
func TestThePublisherOfACriticalEventHearsOfIt(t *testing.T) {
	hub := testkit.Start(t, testkit.Config{})
	c := newClient(t, hub, hub.URL)
	news := listen(t, c, client.Subscription{Patterns: []roxy.Pattern{pattern(t, "tables/*")}})
	expect[client.Live](t, news)
	registered(t, c, bar(t))
	id := publishCritical(t, c, 1)[0]
	attend(t, c, bar(t), func(m client.Message) bool {
		e, event := m.(client.Event)
		if event {
			for _, want := range []roxy.AckStatus{roxy.AckConfirmed, roxy.AckRepeated} {
				if status, err := c.Confirm(t.Context(), e); err != nil || status != want {
					t.Errorf("%s, %v; want %s", status, err, want)
				}
			}
		}
		return !event
	})
	for {
		n := expect[client.AckNews](t, news)
		switch {
		case n.ID != id:
			t.Fatalf("news of %s, want %s", n.ID, id)
		case n.Settled != "":
			if n.Settled != roxy.Acknowledged {
				t.Errorf("it ended as %+v", n)
			}
			return
		case n.Device != "bar-1" || n.User != "u" || n.Status != "delivered" && n.Status != "confirmed":
			t.Errorf("news: %+v", n)
		}
	}
}

// listen follows sub until the test ends.
func listen(t *testing.T, c *client.Client, sub client.Subscription) <-chan client.Message {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	got, done := make(chan client.Message, 1000), make(chan struct{})
	go func() {
		defer close(done)
		for m, err := range c.Subscribe(ctx, sub) {
			if err != nil {
				if ctx.Err() == nil {
					t.Error(err)
				}
				return
			}
			got <- m
		}
	}()
	t.Cleanup(func() { cancel(); <-done })
	return got
}

// expect returns the next message of a kind; another event, or a reset, fails the test.
func expect[M client.Message](t *testing.T, got <-chan client.Message) M {
	t.Helper()
	for {
		select {
		case m := <-got:
			if m, ok := m.(M); ok {
				return m
			}
			switch m.(type) {
			case client.Event, client.Reset:
				t.Fatalf("got %+v", m)
			}
		case <-time.After(time.Minute):
			t.Fatal("nothing comes")
		}
	}
}

// await returns the receipts of an event once they are as wanted.
func await(t *testing.T, c *client.Client, id roxy.Cursor, wanted func(*client.Critical) bool) client.Critical {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		critical, err := c.Receipts(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		if wanted(&critical) {
			return critical
		}
		if time.Now().After(deadline) {
			t.Fatalf("it stands at %+v", critical)
		}
	}
}

func isSettled(c *client.Critical) bool { return c.Settlement != "" }

// publishCritical publishes events that every device has to confirm, soon, and returns where they are.
func publishCritical(t *testing.T, c *client.Client, events int) []roxy.Cursor {
	t.Helper()
	topic, err := roxy.ParseTopic("orders/7")
	if err != nil {
		t.Fatal(err)
	}
	var ids []roxy.Cursor
	for range events {
		published, err := c.Publish(t.Context(), roxy.Event{Topic: topic, Ack: &roxy.Ack{By: roxy.AckDevice, Within: roxy.MinAckWithin}})
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, published[0].Cursor)
	}
	return ids
}

// newClientOver returns a client of the hub over a cable.
func newClientOver(t *testing.T, hub *testkit.Hub, cable http.RoundTripper) *client.Client {
	t.Helper()
	token := hub.Token(t, testkit.Claims{User: "u", Roles: []string{"everything"}})
	c, err := client.New(client.Options{
		URL: hub.URL, Backoff: steady(), HTTPClient: &http.Client{Transport: cable},
		Token: func(context.Context) (string, error) { return token, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}
