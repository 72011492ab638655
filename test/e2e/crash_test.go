package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/roxyhub/roxy/internal/testkit"
)

// payload tells which publish an event belongs to: event Index of Size of the batch Batch.
type payload struct {
	Batch string `json:"batch"`
	Index int    `json:"index"`
	Size  int    `json:"size"`
}

// ledger is what publishers were told, and what they were not.
type ledger struct {
	mu      sync.Mutex
	acked   map[string][]uint64 // batch → offsets
	unknown map[string]string   // batch → request whose answer never came
}

// An acknowledged event is there exactly once and in order after kill -9, no offset is used twice, no half batch
// exists, and a publish whose answer was lost can be repeated.
func TestKillNineLosesNothingThatWasAcknowledged(t *testing.T) {
	rounds := 50
	if s := os.Getenv("ROXY_CRASH_ROUNDS"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil {
			t.Fatal(err)
		}
		rounds = n
	}
	hub := testkit.Start(t, testkit.Config{})
	token := hub.Token(t, testkit.Claims{User: "publisher", Roles: []string{"everything"}})
	l := &ledger{acked: map[string][]uint64{}, unknown: map[string]string{}}
	for round := range rounds {
		ctx, cancel := context.WithCancel(t.Context())
		var publishers sync.WaitGroup
		for p := range 8 {
			publishers.Go(func() { l.publish(ctx, hub.URL, token, fmt.Sprintf("%d-%d", round, p)) })
		}
		time.Sleep(time.Duration(20+rand.IntN(150)) * time.Millisecond) // the random moment
		hub.Kill9(t)
		cancel()
		publishers.Wait()
		hub.Restart(t)
		l.repeat(t, hub.URL, token)
		if round%10 == 9 || round == rounds-1 {
			l.verify(t, hub.URL, token)
			t.Logf("round %d: %d batches acknowledged, all there", round+1, len(l.acked))
		}
	}
}

func (l *ledger) publish(ctx context.Context, hubURL, token, prefix string) {
	for n := 0; ctx.Err() == nil; n++ {
		batch, size := fmt.Sprintf("%s-%d", prefix, n), 1+rand.IntN(20)
		events := make([]string, size)
		for i := range events {
			events[i] = fmt.Sprintf(`{"topic":"crash/%d","id":"%s.%d","data":{"batch":%q,"index":%d,"size":%d}}`, i, batch, i, batch, i, size)
		}
		body := "[" + strings.Join(events, ",") + "]"
		l.mu.Lock()
		l.unknown[batch] = body
		l.mu.Unlock()
		r, err := publish(ctx, hubURL, token, body)
		if err != nil {
			return // the hub died, or is about to
		}
		l.settle(batch, r)
	}
}

func (l *ledger) settle(batch string, r result) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range r.Events {
		l.acked[batch] = append(l.acked[batch], e.Offset)
	}
	delete(l.unknown, batch)
}

// repeat publishes again what had no answer, with the same keys.
func (l *ledger) repeat(t *testing.T, hubURL, token string) {
	t.Helper()
	l.mu.Lock()
	unknown := l.unknown
	l.unknown = map[string]string{}
	l.mu.Unlock()
	for batch, body := range unknown {
		r := mustPublish(t, hubURL, token, body)
		for _, e := range r.Events {
			if e.Duplicate != r.Events[0].Duplicate {
				t.Fatalf("batch %s was half committed: %+v", batch, r.Events)
			}
		}
		l.settle(batch, r)
	}
}

// verify reads the whole log and compares.
func (l *ledger) verify(t *testing.T, hubURL, token string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	s := open(t, ctx, hubURL, token, url.Values{"topic": {"**"}, "after": {"earliest"}}, "")
	events, _ := s.untilLive(t)
	_ = s.body.Close()
	found := map[string][]uint64{}
	for i, f := range events {
		_, digits, _ := strings.Cut(f.ID, ".")
		offset, err := strconv.ParseUint(digits, 10, 64)
		if err != nil || offset != uint64(i+1) {
			t.Fatalf("event %d of the log has id %s", i+1, f.ID)
		}
		p := data[payload](t, f)
		if p.Index != len(found[p.Batch]) {
			t.Fatalf("offset %d holds event %d of batch %s, want %d", offset, p.Index, p.Batch, len(found[p.Batch]))
		}
		if p.Index > 0 && found[p.Batch][p.Index-1] != offset-1 {
			t.Fatalf("batch %s is torn at offset %d", p.Batch, offset)
		}
		found[p.Batch] = append(found[p.Batch], offset)
		if next := i + 1; p.Index < p.Size-1 && next == len(events) {
			t.Fatalf("half of batch %s is at the end of the log", p.Batch)
		}
	}
	for batch, offsets := range l.acked {
		if fmt.Sprint(found[batch]) != fmt.Sprint(offsets) {
			t.Fatalf("batch %s was acknowledged at %v and stands at %v", batch, offsets, found[batch])
		}
	}
	if len(found) != len(l.acked) {
		t.Fatalf("%d batches in the log, %d acknowledged", len(found), len(l.acked))
	}
}
