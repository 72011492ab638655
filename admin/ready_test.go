package admin

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/roxyhub/roxy"
)

func TestAHubWhoseEngineIsGoneIsHealthyButNotReady(t *testing.T) {
	s := open(t)
	if err := s.engine.Close(); err != nil {
		t.Fatal(err)
	}
	if got := s.ask(t, "GET", "/healthz", "", ""); got.status != 200 {
		t.Errorf("healthz: %d", got.status)
	}
	got := s.ask(t, "GET", "/readyz", "", "")
	code, _, detail := got.code(t)
	if got.status != 503 || code != "not-ready" || got.header.Get("Retry-After") == "" || !strings.Contains(detail, "canary") {
		t.Errorf("readyz: %d %s %q", got.status, code, detail)
	}
}

func TestACanaryGoesThroughTheEngine(t *testing.T) {
	s := open(t)
	before := s.engine.Stats().Events
	for range 3 {
		if got := s.ask(t, "GET", "/readyz", "", ""); got.status != 200 || string(got.body) != `{"status":"ready"}` {
			t.Fatalf("%d %s", got.status, got.body)
		}
	}
	if s.engine.Stats().Events == before {
		t.Error("ready, but nothing was stored")
	}
}

func TestCallersShareACanaryForASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sent := 0
		r := &readiness{log: slog.New(slog.DiscardHandler), canary: func(ctx context.Context) error {
			sent++
			time.Sleep(500 * time.Millisecond)
			return ctx.Err()
		}}
		first, leave := context.WithCancel(t.Context())
		var asking sync.WaitGroup
		asking.Go(func() { _ = r.check(first) })
		synctest.Wait()
		leave() // who sent it goes away: the others still get its outcome
		for range 10 {
			asking.Go(func() {
				if err := r.check(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		asking.Wait()
		time.Sleep(canaryLife - time.Millisecond)
		if err := r.check(t.Context()); err != nil || sent != 1 {
			t.Fatalf("%d canaries within a second: %v", sent, err)
		}
		time.Sleep(time.Millisecond)
		if err := r.check(t.Context()); err != nil || sent != 2 {
			t.Fatalf("%d canaries after a second: %v", sent, err)
		}
	})
}

func TestACanaryThatIsLostEndsAtItsDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		lost := true
		r := &readiness{log: slog.New(slog.NewTextHandler(&log, nil)), canary: func(ctx context.Context) error {
			if !lost {
				return nil
			}
			<-ctx.Done()
			return context.Cause(ctx)
		}}
		began := time.Now()
		err := r.check(t.Context())
		if !errors.Is(err, &roxy.Problem{Code: roxy.NotReady}) || time.Since(began) != canaryTime {
			t.Fatalf("after %s: %v", time.Since(began), err)
		}
		time.Sleep(canaryLife)
		if r.check(t.Context()) == nil {
			t.Fatal("ready without a canary")
		}
		lost = false
		time.Sleep(canaryLife)
		if err := r.check(t.Context()); err != nil {
			t.Fatal(err)
		}
		if text := log.String(); strings.Count(text, "not ready") != 1 || strings.Count(text, "ready again") != 1 {
			t.Errorf("each change is told once, got %s", text)
		}
	})
}

func TestOfAProblemOnlyTheDetailIsTold(t *testing.T) {
	cause := &roxy.Problem{Code: roxy.Overloaded, Detail: "the hub's disk is full", Err: errors.New("write /var/lib/roxy/000012.log")}
	p, ok := errors.AsType[*roxy.Problem](notReady(cause))
	if !ok || strings.Contains(p.Detail, "/var/lib") || !strings.Contains(p.Detail, "disk is full") || !errors.Is(p.Err, cause) {
		t.Errorf("got %+v", p)
	}
}
