package client

import (
	"math/rand/v2"
	"time"
)

// Backoff spaces attempts by full jitter: the wait before attempt n is anything up to Base·2ⁿ, at most Max, so that
// clients which lost one hub together do not come back together. What the hub asks for is waited at least.
type Backoff struct {
	// Base is the bound of the first wait. Zero is 500 ms. A stream's retry: replaces it.
	Base time.Duration
	// Max bounds every wait that the hub did not ask for, and how long a stream must have lived for the next wait to
	// begin at Base again. Zero is 30 s.
	Max time.Duration
	// Floor is how far apart two connections of one subscription begin at least. Zero is 1 s: a stream that opens and
	// dies at once must not become a loop.
	Floor time.Duration
}

// maxHint bounds what a hub, or a proxy before it, may ask a client to wait.
const maxHint = 10 * time.Minute

func (b Backoff) withDefaults() Backoff {
	if b.Base == 0 {
		b.Base = 500 * time.Millisecond
	}
	if b.Max == 0 {
		b.Max = 30 * time.Second
	}
	if b.Floor == 0 {
		b.Floor = time.Second
	}
	return b
}

// wait returns how long to wait after the given number of failures in a row. asked is what the hub asked for.
func (b Backoff) wait(failures int, asked time.Duration) time.Duration {
	bound := min(b.Base, b.Max)
	for range failures {
		if bound >= b.Max/2 {
			bound = b.Max
			break
		}
		bound *= 2
	}
	jittered := rand.N(bound + 1) //nolint:gosec // spreads load, guards nothing
	return max(jittered, min(asked, maxHint))
}
