package client

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestBackoffStaysWithinItsBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := Backoff{
			Base: time.Duration(rapid.Int64Range(1, int64(time.Hour)).Draw(t, "base")),
			Max:  time.Duration(rapid.Int64Range(1, int64(time.Hour)).Draw(t, "max")),
		}
		failures := rapid.IntRange(0, 1000).Draw(t, "failures")
		asked := time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(t, "asked"))
		wait := b.wait(failures, asked)
		if low := min(asked, maxHint); wait < low {
			t.Fatalf("waits %s, asked for %s", wait, low)
		}
		if wait > max(b.Max, min(asked, maxHint)) {
			t.Fatalf("waits %s, longer than %s and what was asked", wait, b.Max)
		}
		if failures < 20 {
			if bound := b.Base << failures; wait > max(bound, asked) {
				t.Fatalf("waits %s after %d failures, bound %s", wait, failures, bound)
			}
		}
	})
}

// Of 200 waits some lie below a tenth and some above nine tenths of the bound, or the jitter is not full: both fail to
// happen with a probability below 10⁻⁹.
func TestBackoffJitterIsFull(t *testing.T) {
	b := Backoff{}.withDefaults()
	low, high := false, false
	for range 200 {
		wait := b.wait(2, 0)
		low = low || wait < 200*time.Millisecond
		high = high || wait > 1800*time.Millisecond
	}
	if !low || !high {
		t.Fatalf("200 waits of up to 2 s: below 0.2 s %v, above 1.8 s %v", low, high)
	}
}
