package hub

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/engine"
)

// awaited is a critical event on its way: written once the stream's position reaches its offset or, delivered again, its
// lane has come to its frame.
type awaited struct {
	offset uint64
	lane   uint64 // 0 for one at its place in the log
}

// expect notes that e is about to be written to the stream, at its place in the log.
func (st *stream) expect(e *roxy.Event) {
	if e.Ack != nil && st.device != nil {
		st.device.expect(e.Offset, false)
	}
}

// expect notes that a critical event is on its way to the device: at its place in the log, or by the next frame of its lane.
func (a *attention) expect(offset uint64, lane bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	p := awaited{offset: offset}
	if lane {
		p.lane = a.given + 1
	}
	a.due = append(a.due, p)
}

// queued counts a frame of the stream's lane.
func (a *attention) queued() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.given++
}

// wrote takes what has been written by now: everything up to a position of the log, and one more frame of the lane.
func (a *attention) wrote(position uint64, private bool) (offsets []uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if private && a.passed < a.given {
		a.passed++
	}
	if len(a.due) == 0 {
		return nil
	}
	a.due = slices.DeleteFunc(a.due, func(p awaited) bool {
		there := p.lane == 0 && p.offset <= position || p.lane != 0 && p.lane <= a.passed
		if there {
			offsets = append(offsets, p.offset)
		}
		return there
	})
	return offsets
}

// anew forgets what was on its way through a class that the stream has left: what lies in the log is replayed, and expected
// again, unless it has expired meanwhile; what was delivered again is when it is due next.
func (a *attention) anew() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.given, a.passed, a.due = 0, 0, nil
}

// writes gathers what was written to devices. It is for the receipts alone, so it may be lost by a crash; what a device
// says itself is not.
type writes struct {
	hub *Hub

	flushing sync.Mutex // held until what was pending is noted: the last flush waits for one that a timer began

	mu      sync.Mutex
	pending map[deviceKey]*engine.Acknowledgement
}

const (
	// writesEvery is how long writes wait for others: one commit for many.
	writesEvery = 100 * time.Millisecond
	// writers is how many devices' writes are committed at once: they share a sync.
	writers = 64
)

func (w *writes) add(st *stream, written []engine.Write) {
	if len(written) == 0 {
		return
	}
	key := deviceKey{st.sub.Identity.Tenant, st.sub.Device}
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.pending) == 0 {
		time.AfterFunc(writesEvery, w.flush)
	}
	p := w.pending[key]
	if p == nil {
		p = &engine.Acknowledgement{Device: st.sub.Device, User: st.sub.Identity.User}
		w.pending[key] = p
	}
	p.Written = append(p.Written, written...)
}

// take returns what was written to a device of the user's and not yet noted.
func (w *writes) take(key deviceKey, user string) []engine.Write {
	w.mu.Lock()
	defer w.mu.Unlock()
	p := w.pending[key]
	if p == nil || p.User != user { // whoever else speaks for the device is about to be refused
		return nil
	}
	delete(w.pending, key)
	return p.Written
}

// flush notes everything.
func (w *writes) flush() {
	w.flushing.Lock()
	defer w.flushing.Unlock()
	w.mu.Lock()
	pending := w.pending
	w.pending = make(map[deviceKey]*engine.Acknowledgement)
	w.mu.Unlock()
	w.hub.note(w.hub.running, pending)
}

// note takes what is known of many devices, and waits until it is durable.
func (h *Hub) note(ctx context.Context, known map[deviceKey]*engine.Acknowledgement) {
	var all sync.WaitGroup
	turns := make(chan struct{}, writers)
	for key, a := range known {
		turns <- struct{}{}
		all.Go(func() {
			defer func() { <-turns }()
			ctx, cancel := context.WithTimeout(ctx, h.opts.CommitTimeout)
			defer cancel()
			_, err := h.store.Acknowledge(ctx, key.tenant, *a)
			if err != nil && ctx.Err() == nil && !errors.Is(err, roxy.ErrNotFound) { // forgotten meanwhile
				h.logger.Warn("what is known of a device could not be noted", "tenant", key.tenant, "device", key.device, "error", err)
			}
		})
	}
	all.Wait()
}
