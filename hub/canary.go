package hub

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"time"

	"github.com/roxyhub/roxy"
)

// canaryTenant has a log of its own, so that canaries push nothing else out.
const canaryTenant = "$canary"

// Canary sends one durable event through the engine, its tail and the fan-out to a stream of its own, and returns when
// it has arrived, or why it has not by the end of ctx.
func (h *Hub) Canary(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	pattern, err := roxy.ParsePattern("roxy/canary")
	if err != nil {
		return fmt.Errorf("hub: %w", err)
	}
	topic, _ := pattern.Topic()
	nonce := []byte(`"` + rand.Text() + `"`)
	sink := &canarySink{nonce: nonce, live: make(chan struct{}), seen: make(chan struct{})}
	over := make(chan error, 1)
	go func() { // ends with ctx, before Canary returns
		over <- h.Subscribe(ctx, Subscription{
			Identity:  roxy.Identity{Tenant: canaryTenant, User: "canary", Grant: roxy.Grant{Read: []roxy.Pattern{pattern}}},
			Patterns:  []roxy.Pattern{pattern},
			Heartbeat: time.Minute,
			Encoding:  canaryEncoding{},
			Transport: "canary",
		}, sink)
	}()
	defer func() {
		cancel()
		<-over //nolint:errcheck // whatever ended it, it is over
	}()
	await := func(what string, event <-chan struct{}) error {
		select {
		case <-event:
			return nil
		case err := <-over:
			over <- err
			return fmt.Errorf("canary: stream ended before %s: %w", what, err)
		case <-ctx.Done():
			return fmt.Errorf("canary: no %s in time: %w", what, context.Cause(ctx))
		}
	}
	if err := await("live stream", sink.live); err != nil {
		return err
	}
	if _, err := h.commit(ctx, canaryTenant, []roxy.Event{{Topic: topic, Type: "canary", Data: nonce}}); err != nil {
		return fmt.Errorf("canary: commit: %w", err)
	}
	return await("delivery", sink.seen)
}

// canarySink looks for the stream's start and for the canary. One goroutine writes to it.
type canarySink struct {
	nonce      []byte
	live, seen chan struct{}
	isLive     bool
	isSeen     bool
}

func (s *canarySink) Write(p []byte) error {
	if !s.isLive && bytes.Contains(p, []byte("roxy:live")) {
		s.isLive = true
		close(s.live)
	}
	if !s.isSeen && bytes.Contains(p, s.nonce) {
		s.isSeen = true
		close(s.seen)
	}
	return nil
}

func (s *canarySink) SetDeadline(time.Time) {}

// canaryEncoding is the barest one: what there is, in a line.
type canaryEncoding struct{}

func (canaryEncoding) Name() string { return "canary" }

func (canaryEncoding) AppendEvent(dst []byte, _ roxy.Cursor, _ string, envelope []byte) []byte {
	return append(append(dst, envelope...), '\n')
}

func (canaryEncoding) AppendControl(dst []byte, c Control) []byte {
	return append(append(dst, c.Type...), '\n')
}
