package limit

import (
	"errors"
	"log/slog"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/roxyhub/roxy"
)

func overloaded(t *testing.T, err error) {
	t.Helper()
	if p, ok := errors.AsType[*roxy.Problem](err); !ok || p.Code != roxy.Overloaded || p.Detail == "" || p.RetryAfter <= 0 {
		t.Fatalf("got %#v, want a problem that says when to come back", err)
	}
}

func TestMemoryIsRefusedNearTheLimitAndFreeAgainWhenOthersHaveLeft(t *testing.T) {
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(-1))
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		l := New(Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
		if err := l.Memory(); err != nil {
			t.Fatalf("without a limit: %v", err)
		}
		if s := l.Stats(); s.MemoryBound != 0 || s.MemoryUsed == 0 {
			t.Fatalf("without a limit: %+v", s)
		}
		debug.SetMemoryLimit(200 << 20)
		time.Sleep(lookAgain)
		if err := l.Memory(); err != nil {
			t.Fatalf("far from the limit: %v", err)
		}
		streams := make([]byte, 170<<20)
		runtime.GC() // as a heap that grows does
		time.Sleep(lookAgain)
		for range 3 {
			overloaded(t, l.Memory())
		}
		runtime.KeepAlive(streams) // and no longer
		overloaded(t, l.Memory())  // looked at a moment ago
		time.Sleep(collectAgain)
		if err := l.Memory(); err != nil {
			t.Fatalf("they have left: %v", err)
		}
		if n := l.Stats().Refused[Memory]; n != 4 {
			t.Errorf("counted %d refusals", n)
		}
		if n := strings.Count(log.String(), "memory limit is near"); n != 1 {
			t.Errorf("the log says %d times:\n%s", n, log.String())
		}
	})
}

// Garbage fills a heap up to its limit: it is no reason to refuse anybody.
func TestGarbageIsNotInUse(t *testing.T) {
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(-1))
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	synctest.Test(t, func(t *testing.T) {
		l := New(Options{})
		runtime.GC()
		debug.SetMemoryLimit(200 << 20)
		for range 180 {
			runtime.KeepAlive(make([]byte, 1<<20))
		}
		time.Sleep(lookAgain)
		if err := l.Memory(); err != nil {
			t.Errorf("a heap of garbage: %v", err)
		}
	})
}

func TestDescriptorsAreRefusedAndToldOnceAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		l := New(Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
		for range 90 {
			overloaded(t, l.NoDescriptor())
			time.Sleep(time.Second)
		}
		if n := l.Stats().Refused[Descriptors]; n != 90 {
			t.Errorf("counted %d refusals", n)
		}
		if n := strings.Count(log.String(), "raise that limit"); n != 2 {
			t.Errorf("the log says %d times:\n%s", n, log.String())
		}
	})
}
