package webhook

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/engine"
)

// The device whose cursor is how far a tenant is, and its owner: clients can name neither (roxy.CheckDevice). It has no
// patterns, so it is no target of critical events.
const (
	positionDevice = "$webhook"
	positionUser   = "$hub"
)

// settleEvery is how often the positions of tenants of which nothing waits are moved along with retention, so that a
// position that retention has passed means something.
const settleEvery = time.Hour

// queue is one tenant's dead letters that wait, oldest first. Webhook.mu guards it. One goroutine at most works on it.
type queue struct {
	tenant  string
	epoch   string // of the log that it is about; "" until it was read
	seen    uint64 // the newest offset that waits or has waited
	waiting []letter
	busy    bool  // a goroutine works on it
	heard   heard // since it was begun to be read
}

// letter is where a dead letter stands.
type letter struct {
	offset uint64
	time   time.Time
}

// heard is the newest letter that the tail told of.
type heard struct {
	epoch  string
	offset uint64
}

// follow hears of all dead letters that are committed, until ctx ends.
func (w *Webhook) follow(ctx context.Context, tail engine.Tail) {
	defer tail.Close()
	for {
		committed, err := tail.Next(ctx)
		if err != nil {
			if ctx.Err() == nil && !errors.Is(err, engine.ErrClosed) {
				w.logger.LogAttrs(ctx, slog.LevelError, "dead letters are no longer followed: restart the hub", slog.Any("error", err))
			}
			return
		}
		for i := range committed {
			c := &committed[i]
			if engine.SystemTenant(c.Tenant) {
				continue
			}
			var found []letter
			for j := range c.Events {
				if e := &c.Events[j]; isLetter(e) {
					found = append(found, letter{e.Offset, e.Time})
				}
			}
			if len(found) > 0 {
				w.hear(ctx, c.Tenant, c.Epoch, found)
			}
		}
	}
}

// isLetter reports whether e is a dead letter. Clients publish neither this type nor on this topic.
func isLetter(e *roxy.Event) bool {
	return e.Type == roxy.UnackedType && e.Topic.String() == roxy.DeadLetters
}

// hear takes dead letters of a tenant into its queue.
func (w *Webhook) hear(ctx context.Context, tenant, epoch string, found []letter) {
	w.mu.Lock()
	defer w.mu.Unlock()
	q := w.queue(tenant)
	if q.epoch != "" && q.epoch != epoch { // the log began anew
		q.epoch, q.seen, q.waiting = "", 0, nil
	}
	if q.epoch == "" {
		q.heard = heard{epoch, found[len(found)-1].offset}
	} else {
		for _, l := range found {
			q.add(l)
		}
	}
	w.work(ctx, q)
}

// add puts a letter at the end, unless it was there before.
func (q *queue) add(l letter) {
	if l.offset > q.seen {
		q.seen = l.offset
		q.waiting = append(q.waiting, l)
	}
}

// queue returns the tenant's. w.mu is held.
func (w *Webhook) queue(tenant string) *queue {
	q := w.queues[tenant]
	if q == nil {
		q = &queue{tenant: tenant}
		w.queues[tenant] = q
	}
	return q
}

// work has somebody work on q, when there is something to do and nobody is. w.mu is held.
func (w *Webhook) work(ctx context.Context, q *queue) {
	if q.busy || q.epoch != "" && len(q.waiting) == 0 {
		return
	}
	q.busy = true
	w.running.Go(func() { w.deliver(ctx, q) })
}

// first returns the letter that is to be delivered next, or reports that the goroutine at work has nothing left to do.
func (w *Webhook) first(ctx context.Context, q *queue) (l letter, epoch string, ok bool) {
	for try := 1; ; try++ {
		w.mu.Lock()
		read := q.epoch != ""
		if ctx.Err() != nil || read && len(q.waiting) == 0 {
			q.busy = false
			w.mu.Unlock()
			return letter{}, "", false
		}
		if read {
			l, epoch = q.waiting[0], q.epoch
			w.mu.Unlock()
			return l, epoch, true
		}
		w.mu.Unlock()
		if err := w.read(ctx, q); err != nil {
			w.troubled(ctx, "the dead letters of a tenant cannot be read", q.tenant, try, err)
			w.pause(ctx, try, 0)
		}
	}
}

// done takes the letter at an offset off the queue.
func (w *Webhook) done(q *queue, epoch string, l letter) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if q.epoch == epoch && len(q.waiting) > 0 && q.waiting[0].offset == l.offset {
		q.waiting = q.waiting[1:]
	}
}

// read fills q with what waits in the log behind the tenant's position. A tenant without one begins at the oldest event
// that is retained: nothing tells whether its first dead letter was made just now, before a crash, or before there was a
// webhook, and one too many is better than one too few.
func (w *Webhook) read(ctx context.Context, q *queue) error {
	if !w.turn(ctx) {
		return ctx.Err()
	}
	defer w.endTurn()
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	for {
		w.mu.Lock()
		q.heard = heard{}
		w.mu.Unlock()
		b, err := w.store.Bounds(ctx, q.tenant)
		if err != nil {
			return err
		}
		oldest := roxy.Cursor{Epoch: b.Epoch, Offset: b.First - 1}
		at, err := w.store.Register(ctx, q.tenant, roxy.Device{Name: positionDevice, User: positionUser, Cursor: oldest}, 0)
		if err != nil {
			return err
		}
		after := at.Cursor.Offset
		if at.Cursor.Epoch != b.Epoch { // of another life of the log
			after = oldest.Offset
		}
		if after < oldest.Offset {
			w.lost.Add(1)
			w.logger.LogAttrs(ctx, slog.LevelWarn, "retention went past what the webhook has delivered: dead letters may be lost to it",
				slog.String("tenant", q.tenant), slog.Uint64("after", after), slog.Uint64("until", oldest.Offset))
			after = oldest.Offset
		}
		found, err := w.letters(ctx, q.tenant, after, b.Head)
		if err != nil {
			return err
		}
		if w.begin(q, b, found) {
			return nil
		}
	}
}

// letters returns the dead letters of a stretch of a log.
func (w *Webhook) letters(ctx context.Context, tenant string, after, until uint64) (found []letter, err error) {
	if until <= after {
		return nil, nil
	}
	topic, err := roxy.ParseTopic(roxy.DeadLetters)
	if err != nil {
		return nil, fmt.Errorf("the topic of dead letters: %w", err)
	}
	for e, err := range w.store.Read(ctx, tenant, engine.Query{After: after, Until: until, Topics: []roxy.Topic{topic}}) {
		if err != nil {
			return nil, err
		}
		if isLetter(&e) {
			found = append(found, letter{e.Offset, e.Time})
		}
	}
	return found, nil
}

// begin makes found the queue. It is false when the tail told meanwhile of what is not among it.
func (w *Webhook) begin(q *queue, b engine.Bounds, found []letter) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if h := q.heard; h.offset > 0 && (h.epoch != b.Epoch || h.offset > b.Head) {
		return false
	}
	q.epoch, q.seen, q.waiting = b.Epoch, b.Head, found
	return true
}

// resume looks for what waits of all tenants, and then keeps their positions from falling behind, until ctx ends.
func (w *Webhook) resume(ctx context.Context) {
	for try := 1; ctx.Err() == nil; try++ {
		err := w.look(ctx)
		if err == nil {
			break
		}
		w.troubled(ctx, "the tenants that have dead letters cannot be found", "", try, err)
		w.pause(ctx, try, 0)
	}
	tick := time.NewTicker(settleEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			w.settle(ctx)
		case <-ctx.Done():
			return
		}
	}
}

// look has somebody work on each tenant whose log holds a dead letter.
func (w *Webhook) look(ctx context.Context) error {
	names, err := w.store.Tenants()
	if err != nil {
		return err
	}
	for _, name := range names {
		if engine.SystemTenant(name) {
			continue
		}
		has, err := w.hasLetters(ctx, name)
		if err != nil {
			w.troubled(ctx, "a tenant cannot be searched for dead letters: it is with the next one, or at the next start", name, 1, err)
			continue
		}
		if has {
			w.mu.Lock()
			w.work(ctx, w.queue(name))
			w.mu.Unlock()
		}
	}
	return nil
}

// hasLetters reports whether a tenant's log holds a dead letter. It costs no more than a look at the index for all those
// tenants that have none.
func (w *Webhook) hasLetters(ctx context.Context, tenant string) (bool, error) {
	topic, err := roxy.ParseTopic(roxy.DeadLetters)
	if err != nil {
		return false, fmt.Errorf("the topic of dead letters: %w", err)
	}
	for {
		b, err := w.store.Bounds(ctx, tenant)
		if err != nil {
			return false, err
		}
		if b.First > b.Head {
			return false, nil
		}
		trimmed := false
		for _, err := range w.store.Read(ctx, tenant, engine.Query{After: b.First - 1, Topics: []roxy.Topic{topic}}) {
			if trimmed = errors.Is(err, engine.ErrTrimmed); !trimmed {
				return err == nil, err
			}
		}
		if !trimmed {
			return false, nil
		}
	}
}

// settle moves the positions of tenants of which nothing waits to where their logs begin by now.
func (w *Webhook) settle(ctx context.Context) {
	w.mu.Lock()
	idle := make(map[string]string) // tenant → epoch
	for name, q := range w.queues {
		if !q.busy && q.epoch != "" && len(q.waiting) == 0 {
			idle[name] = q.epoch
		}
	}
	w.mu.Unlock()
	for name, epoch := range idle {
		b, err := w.store.Bounds(ctx, name)
		if err == nil && b.Epoch == epoch {
			err = w.acknowledge(ctx, name, roxy.Cursor{Epoch: epoch, Offset: b.First - 1})
		}
		if err != nil {
			w.troubled(ctx, "how far the webhook is could not be noted", name, 1, err)
		}
	}
}

// acknowledge moves a tenant's position forward.
func (w *Webhook) acknowledge(ctx context.Context, tenant string, to roxy.Cursor) error {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	_, err := w.store.Acknowledge(ctx, tenant, engine.Acknowledgement{Device: positionDevice, User: positionUser, Delivered: &to})
	return err
}

// troubled tells an operator of the first try that failed.
func (w *Webhook) troubled(ctx context.Context, what, tenant string, try int, err error) {
	level := slog.LevelWarn
	if try > 1 {
		level = slog.LevelDebug
	}
	if ctx.Err() == nil && !errors.Is(err, engine.ErrClosed) {
		w.logger.LogAttrs(ctx, level, "webhook", slog.String("trouble", what), slog.String("tenant", tenant), slog.Int("try", try), slog.Any("error", err))
	}
}
