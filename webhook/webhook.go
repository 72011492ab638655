// Package webhook tells somebody outside of critical events that nobody confirmed: it follows the dead letters of all
// tenants and posts each to one URL, signed as Standard Webhooks says (https://www.standardwebhooks.com), again and again
// until the receiver has it. It owns the order, the retries and how far each tenant is; which events are dead letters is
// the engine's to say, and who may read them otherwise the hub's.
//
// Each tenant's letters are delivered one after the other, in log order and at least once: a letter follows when the one
// before it was answered with 2xx. How far a tenant is, the engine keeps as the cursor of a device that no client can
// name, and that subscribes to nothing.
package webhook

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/roxyhub/roxy/engine"
)

// Store is what the webhook asks of an engine.
type Store interface {
	engine.Log
	engine.Devices
	engine.Acks
	// Tenants returns the names of all tenants, the hub's own among them.
	Tenants() ([]string, error)
}

// Options says where dead letters go.
type Options struct {
	URL    string // a CheckURL is happy with
	Secret Secret
	Logger *slog.Logger // what an operator should know; nil discards

	firstWait time.Duration // tests are impatient; 0 is firstWait
}

const (
	// attemptTimeout bounds one attempt, from the connection to the end of the answer.
	attemptTimeout = 10 * time.Second
	// storeTimeout bounds one call of the engine.
	storeTimeout = 10 * time.Second
	// attempts is how many are under way at once, of different tenants: a receiver that is slow for one does not keep the
	// others from it, and one that comes back is not overrun.
	attempts = 16
)

// Webhook delivers dead letters until it is closed.
type Webhook struct {
	store  Store
	opts   Options
	logger *slog.Logger
	client *http.Client
	host   string // of the URL: the rest may be as good as a password, and is not logged

	turns   chan struct{}
	stop    context.CancelFunc
	running sync.WaitGroup

	mu     sync.Mutex
	queues map[string]*queue // by tenant

	delivered, failures, lost atomic.Uint64
}

// Start delivers what waits in store and all that comes, until Close. Close it before the store.
func Start(ctx context.Context, store Store, opts Options) (*Webhook, error) {
	if err := CheckURL(opts.URL); err != nil {
		return nil, fmt.Errorf("webhook: %w", err)
	}
	if len(opts.Secret.key) == 0 {
		return nil, fmt.Errorf("webhook: no secret to sign with")
	}
	u, err := url.Parse(opts.URL)
	if err != nil {
		return nil, fmt.Errorf("webhook: not a URL") // err would repeat a password in it
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	if opts.firstWait == 0 {
		opts.firstWait = firstWait
	}
	running, stop := context.WithCancel(context.WithoutCancel(ctx)) // Close ends it, not whoever started it
	w := &Webhook{
		store: store, opts: opts, logger: opts.Logger, client: newClient(), host: u.Host,
		turns: make(chan struct{}, attempts), stop: stop, queues: make(map[string]*queue),
	}
	// The tail is open before anybody looks at what is there: nothing falls between the two.
	tail := store.Tail()
	w.running.Go(func() { w.follow(running, tail) })
	w.running.Go(func() { w.resume(running) })
	return w, nil
}

// Close ends the attempts under way and waits for that until ctx ends. What was not delivered is, after the next start. A
// nil Webhook is closed.
func (w *Webhook) Close(ctx context.Context) error {
	if w == nil {
		return nil
	}
	w.stop()
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.running.Wait()
	}()
	select {
	case <-done:
		w.client.CloseIdleConnections()
		return nil
	case <-ctx.Done():
		return fmt.Errorf("webhook: deliveries did not end: %w", context.Cause(ctx))
	}
}

// Stats is a copy of what a Webhook counts.
type Stats struct {
	Delivered uint64        // dead letters that were answered with 2xx
	Failures  uint64        // attempts that were not
	Lost      uint64        // dead letters that retention deleted before they were delivered, or stretches of the log that may have held some
	Waiting   int64         // dead letters that are known and not delivered yet
	Lag       time.Duration // how old the oldest of them is
}

// Stats returns a copy of the counters and what waits at this moment; of a nil Webhook, nothing.
func (w *Webhook) Stats() Stats {
	if w == nil {
		return Stats{}
	}
	s := Stats{Delivered: w.delivered.Load(), Failures: w.failures.Load(), Lost: w.lost.Load()}
	now := time.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, q := range w.queues {
		s.Waiting += int64(len(q.waiting))
		if len(q.waiting) > 0 {
			s.Lag = max(s.Lag, now.Sub(q.waiting[0].time))
		}
	}
	return s
}
