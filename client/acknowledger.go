package client

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/roxyhub/roxy"
)

const (
	// acksWait is how long what was handled waits for more, so that a burst of events is one call.
	acksWait = 50 * time.Millisecond
	// acksFull is how many handled events do not wait.
	acksFull = 100
	// acksIdle is how long the position may run ahead of what the hub was told by events that are not for the device. It
	// is only for the hub's retention: a cursor that it overtook would cost a wiped device a reset.
	acksIdle = 10 * time.Minute
	// acksLast bounds the last call, when the subscription is over.
	acksLast = 2 * time.Second
	// handledKept bounds how many critical events are known to have been handled: as many as a hub keeps open.
	handledKept = 10_000
)

// acknowledger tells the hub what a subscription's device has handled. The follower says so, and never waits: a goroutine,
// which the follower starts and ends, calls the hub until it has answered. What one call does not bring, the next one does.
type acknowledger struct {
	client   *Client
	device   string
	confirms bool // critical events are confirmed once they were handled

	wake   chan struct{} // readable when there may be something sooner
	done   chan struct{} // closed by the goroutine
	cancel context.CancelFunc

	mu        sync.Mutex
	delivered roxy.Cursor   // everything up to here was handled
	told      roxy.Cursor   // and the hub has answered up to here
	events    int           // handled and not yet told
	confirm   []roxy.Cursor // critical events to be confirmed, until the hub has answered
	life      int           // of the log: how often it began anew
	due       time.Time     // when to tell it; zero while there is nothing to tell
	closing   bool
	handled   handled
}

// startAcks starts an acknowledger. It outlives ctx until it is closed: what was handled when ctx ended is told as well.
func startAcks(ctx context.Context, c *Client, sub *Subscription) *acknowledger {
	a := &acknowledger{
		client: c, device: sub.Device, confirms: sub.Confirm, wake: make(chan struct{}, 1), done: make(chan struct{}),
		handled: handled{confirmed: make(map[roxy.Cursor]bool)},
	}
	ctx, a.cancel = context.WithCancel(context.WithoutCancel(ctx))
	go a.run(ctx)
	return a
}

// close tries once more to tell what the hub has not heard, within acksLast, and ends the goroutine. To call it again is
// harmless.
func (a *acknowledger) close() {
	a.mu.Lock()
	a.closing = true
	a.mu.Unlock()
	a.poke()
	last := time.AfterFunc(acksLast, a.cancel)
	<-a.done
	last.Stop()
	a.cancel()
}

func (a *acknowledger) poke() {
	select {
	case a.wake <- struct{}{}:
	default: // it is awake, or will be
	}
}

// pending reports whether there is something that the hub does not know. a.mu is held.
func (a *acknowledger) pending() bool { return beyond(a.delivered, a.told) || len(a.confirm) > 0 }

// within has the hub told what is pending within d at the latest. a.mu is held.
func (a *acknowledger) within(d time.Duration) {
	if !a.pending() {
		return
	}
	if due := time.Now().Add(d); a.due.IsZero() || due.Before(a.due) {
		a.due = due
		a.poke()
	}
}

// begins takes note of where a connection begins: the hub knows that everything before was handled.
func (a *acknowledger) begins(at roxy.Cursor) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if beyond(at, a.told) {
		a.told = at
	}
}

// beyond reports whether a cursor tells more than another one.
func beyond(c, than roxy.Cursor) bool {
	return c.Epoch != "" && (c.Epoch != than.Epoch || c.Offset > than.Offset)
}

// gave takes note that the caller is done with m. Everything up to position, unless that is zero, was handled.
func (a *acknowledger) gave(m Message, position roxy.Cursor) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if position.Epoch != "" {
		a.delivered = position
	}
	switch m := m.(type) {
	case Event:
		a.gaveEvent(&m)
	case Reset:
		if m.Reason == "epoch" { // what had these offsets was in another life
			a.delivered, a.told, a.confirm = position, position, nil
			a.life++
			a.handled.clear()
		}
		a.within(0)
	case Live:
		a.within(0)
	default: // is not in the log
	}
}

// gaveEvent is gave for an event. a.mu is held.
func (a *acknowledger) gaveEvent(e *Event) {
	if e.Ack != nil {
		a.handled.add(e.AckID)
		if a.confirms {
			a.confirmAgain(e.AckID)
		}
	}
	if e.Cursor.Epoch == "" {
		return
	}
	if a.events++; a.events >= acksFull {
		a.within(0)
		return
	}
	a.within(acksWait)
}

// passed takes note that everything up to position is handled although nothing was given; the hub hears of it within d.
func (a *acknowledger) passed(position roxy.Cursor, d time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if beyond(position, a.delivered) {
		a.delivered = position
		a.within(d)
	}
}

// confirmed takes note that the caller confirms a critical event itself.
func (a *acknowledger) confirmed(id roxy.Cursor) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.handled.confirm(id)
}

// has reports whether the caller has handled a critical event. One that was confirmed is confirmed again: the hub would not
// repeat what it had heard of.
func (a *acknowledger) has(id roxy.Cursor) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	confirmed, known := a.handled.confirmed[id]
	if confirmed {
		a.confirmAgain(id)
	}
	return known
}

// confirmAgain has a critical event confirmed. a.mu is held.
func (a *acknowledger) confirmAgain(id roxy.Cursor) {
	a.handled.confirm(id)
	if !slices.Contains(a.confirm, id) {
		a.confirm = append(a.confirm, id)
	}
	a.within(acksWait)
}

// run tells the hub what is due until the subscription is over.
func (a *acknowledger) run(ctx context.Context) {
	defer close(a.done)
	failures, rest := 0, time.Time{} // until when to leave the hub alone
	for {
		wait, closing := a.wait(rest)
		if wait > 0 {
			if closing {
				return
			}
			a.sleep(wait)
			continue
		}
		asked, err := a.tell(ctx)
		switch {
		case err == nil:
			failures, rest = 0, time.Time{}
		case closing:
			a.client.logger.LogAttrs(ctx, slog.LevelWarn, "what was handled last is not acknowledged", slog.String("device", a.device), slog.Any("error", err))
			return
		default:
			pause := a.client.backoff.wait(failures, asked)
			failures, rest = failures+1, time.Now().Add(pause)
			a.client.logger.LogAttrs(ctx, slog.LevelWarn, "acknowledgement is tried again", slog.String("device", a.device),
				slog.Int("failures", failures), slog.Duration("in", pause), slog.Any("error", err))
		}
	}
}

// forever is longer than any subscription.
const forever = time.Duration(1<<63 - 1)

// wait returns how long it is until the hub is to be told something; while closing, 0 or forever.
func (a *acknowledger) wait(rest time.Time) (wait time.Duration, closing bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case !a.pending():
		a.due = time.Time{}
		return forever, a.closing
	case a.closing:
		return 0, true
	default:
		return max(time.Until(a.due), time.Until(rest), 0), false
	}
}

func (a *acknowledger) sleep(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-a.wake:
	}
}

// tell makes one call. An error says that another one may do better, no sooner than asked for.
func (a *acknowledger) tell(ctx context.Context) (asked time.Duration, err error) {
	a.mu.Lock()
	life, delivered, ids := a.life, a.delivered, slices.Clone(a.confirm[:min(len(a.confirm), acksFull)])
	a.events, a.due = 0, time.Time{}
	if !beyond(delivered, a.told) {
		delivered = roxy.Cursor{}
	}
	a.mu.Unlock()

	err = a.call(ctx, delivered, ids)
	p, refused := errors.AsType[*roxy.Problem](err)
	if refused && final(p.Code) {
		a.client.logger.LogAttrs(ctx, slog.LevelWarn, "acknowledgement is refused", slog.String("device", a.device), slog.Any("error", err))
		err = nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case err != nil:
		a.due = time.Now()
		if refused {
			asked = p.RetryAfter
		}
		return asked, err
	case life != a.life:
		return 0, nil
	case beyond(delivered, a.told):
		a.told = delivered
	}
	a.confirm = slices.DeleteFunc(a.confirm, func(id roxy.Cursor) bool { return slices.Contains(ids, id) })
	if len(a.confirm) > 0 {
		a.within(0)
	}
	return 0, nil
}

func (a *acknowledger) call(ctx context.Context, delivered roxy.Cursor, ids []roxy.Cursor) error {
	do, err := acksCall(a.device, delivered, ids)
	if err != nil {
		return err
	}
	answer, _, err := a.client.once(ctx, do)
	if err != nil {
		return err
	}
	_, _, err = decodeAcks(answer, len(ids))
	return err
}

// final reports whether a refusal is the last word: that of load, of a hub in trouble and of a token that the next attempt
// may renew are not.
func final(code roxy.Code) bool {
	switch code {
	case roxy.RateLimited, roxy.Overloaded, roxy.NotReady, roxy.Internal, roxy.Unauthenticated, roxy.TokenExpired:
		return false
	default:
		return true
	}
}

// handled is which critical events the caller has handled, the last handledKept of them.
type handled struct {
	confirmed map[roxy.Cursor]bool // and whether they were confirmed
	order     []roxy.Cursor        // a ring once it is full
	oldest    int
}

func (h *handled) add(id roxy.Cursor) {
	if _, known := h.confirmed[id]; known {
		return
	}
	h.confirmed[id] = false
	if len(h.order) < handledKept {
		h.order = append(h.order, id)
		return
	}
	delete(h.confirmed, h.order[h.oldest])
	h.order[h.oldest] = id
	h.oldest = (h.oldest + 1) % handledKept
}

// confirm notes that one of them was confirmed.
func (h *handled) confirm(id roxy.Cursor) {
	h.add(id)
	h.confirmed[id] = true
}

func (h *handled) clear() {
	clear(h.confirmed)
	h.order, h.oldest = h.order[:0], 0
}
