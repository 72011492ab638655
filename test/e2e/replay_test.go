package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/roxyhub/roxy/internal/testkit"
)

// fill publishes n events, number i on topic(i), in arrays of 500, and returns the epoch.
func fill(t *testing.T, hubURL, token string, from, n int, topic func(i int) string) (epoch string) {
	t.Helper()
	for i := from; i < from+n; {
		var body strings.Builder
		sep := "["
		for end := min(i+500, from+n); i < end; i++ {
			fmt.Fprintf(&body, `%s{"topic":%q,"data":%d}`, sep, topic(i), i)
			sep = ","
		}
		epoch = mustPublish(t, hubURL, token, body.String()+"]").Epoch
	}
	return epoch
}

func same() func(int) string { return func(int) string { return "load/1" } }

// Three cases in which a known hub fails.

func TestReplayRightAfterARestartWithoutANewPublish(t *testing.T) {
	hub := testkit.Start(t, testkit.Config{})
	token := hub.Token(t, testkit.Claims{User: "u", Roles: []string{"everything"}})
	epoch := fill(t, hub.URL, token, 0, 100, same())
	hub.Kill9(t)
	hub.Restart(t)
	s := open(t, t.Context(), hub.URL, token, url.Values{"topic": {"load/*"}}, epoch+".40")
	events, live := s.untilLive(t)
	expect(t, events, 40, 60)
	if live.ID != epoch+".100" {
		t.Errorf("live at %s", live.ID)
	}
}

func TestClientManyEventsBehindGetsAllOfThem(t *testing.T) {
	hub := testkit.Start(t, testkit.Config{})
	token := hub.Token(t, testkit.Claims{User: "u", Roles: []string{"everything"}})
	epoch := fill(t, hub.URL, token, 0, 3000, same())
	s := open(t, t.Context(), hub.URL, token, url.Values{"topic": {"load/*"}}, epoch+".500")
	events, _ := s.untilLive(t)
	expect(t, events, 500, 2500)
}

func TestCursorNearTheHeadOfALongLogReplaysOnlyTheEnd(t *testing.T) {
	hub := testkit.Start(t, testkit.Config{})
	token := hub.Token(t, testkit.Claims{User: "u", Roles: []string{"everything"}})
	epoch := fill(t, hub.URL, token, 0, 10_050, same())
	s := open(t, t.Context(), hub.URL, token, url.Values{"topic": {"load/*"}}, epoch+".10040")
	events, _ := s.untilLive(t)
	expect(t, events, 10_040, 10)
}

// expect checks that events are number first, first+1, …, n of them.
func expect(t *testing.T, events []frame, first, n int) {
	t.Helper()
	if len(events) != n {
		t.Errorf("%d events, want %d", len(events), n)
	}
	for i, f := range events {
		if got := data[int](t, f); got != first+i {
			t.Fatalf("event %d is number %d, want %d", i, got, first+i)
		}
	}
}

// A thousand clients resume at random places of a log of 100,000 while publishing goes on: each gets exactly its
// subsequence, in order.
func TestThousandClientsResumeAnywhereWhilePublishingGoesOn(t *testing.T) {
	const (
		retained = 100_000
		during   = 20_000
		clients  = 1000
		rooms    = 100
	)
	hub := testkit.Start(t, testkit.Config{})
	token := hub.Token(t, testkit.Claims{User: "u", Roles: []string{"everything"}})
	topic := func(i int) string { return fmt.Sprintf("room/%d/%s", i%rooms, []string{"light", "sound"}[i/rooms%2]) }
	epoch := fill(t, hub.URL, token, 0, retained, topic)

	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	var running sync.WaitGroup
	failures := make(chan error, clients)
	for c := range clients {
		random := rand.New(rand.NewPCG(1, uint64(c)))
		room, after := random.IntN(rooms), random.IntN(retained)
		pattern := fmt.Sprintf("room/%d/light", room) // most tablets follow a few exact topics
		mine := func(i int) bool { return i%rooms == room && i/rooms%2 == 0 }
		switch {
		case c%50 == 0: // a manager's screen
			pattern, mine = "**", func(int) bool { return true }
		case c%5 == 0:
			pattern, mine = fmt.Sprintf("room/%d/*", room), func(i int) bool { return i%rooms == room }
		}
		running.Go(func() {
			if err := follow(ctx, hub.URL, token, pattern, fmt.Sprintf("%s.%d", epoch, after), after, retained+during, mine); err != nil {
				failures <- fmt.Errorf("client %d, %s after %d: %w", c, pattern, after, err)
			}
		})
	}
	fill(t, hub.URL, token, retained, during, topic)
	running.Wait()
	close(failures)
	for err := range failures {
		t.Error(err)
	}
}

// follow reads from after until the last of the numbers below end that are mine, and checks that each comes once.
func follow(ctx context.Context, hubURL, token, pattern, cursor string, after, end int, mine func(int) bool) error {
	s, err := tryOpen(ctx, hubURL, token, url.Values{"topic": {pattern}}, cursor)
	if err != nil {
		return err
	}
	defer func() { _ = s.body.Close() }()
	for want := after; want < end; want++ { // number i has offset i+1
		if !mine(want) {
			continue
		}
		f, err := s.event()
		if err != nil {
			return fmt.Errorf("waiting for number %d: %w", want, err)
		}
		_, rest, _ := strings.Cut(f.Data, `"data":`)
		got, err := strconv.Atoi(strings.TrimSuffix(rest, "}"))
		if err != nil || got != want {
			return fmt.Errorf("got number %d, %w, want %d", got, err, want)
		}
	}
	return nil
}
