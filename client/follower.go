package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"net/url"
	"time"

	"github.com/roxyhub/roxy"
)

// follower is one iteration over a subscription. One goroutine, the one that iterates, runs all of it.
type follower struct {
	client *Client
	sub    Subscription
	yield  func(Message, error) bool

	position roxy.Cursor   // everything up to here was yielded or is not for us; zero while nothing is known
	base     time.Duration // bound of the first wait: Backoff.Base until a stream's retry: says otherwise
	view     string        // what the last hello said that our roles see
	acks     *acknowledger // nil without a device
	high     roxy.Cursor   // the last event that was yielded, or need not be; a snapshot does not go back behind it
	expired  bool          // the token was refused as expired and no stream has gone live since
	roll     roll          // the list of who is present that is coming in
	healthy  time.Duration // from the hello of the last connection to the last block it brought
}

// ErrReplaced ends a subscription with a Device of which another connection has taken the place, or that was removed from
// the hub. To come back at once would take it from the other in turn.
var ErrReplaced = errors.New("client: the device has another connection by now, or was removed")

// Ends of a connection that run handles itself.
var (
	errStopped = errors.New("client: the caller stopped iterating")
	errAway    = errors.New("client: the hub wants nobody to come back")
	errSilent  = errors.New("client: the hub has fallen silent")
)

// lostError is an end of a connection after which another one may do better.
type lostError struct {
	err   error
	asked time.Duration // how long the hub asks to wait
}

func (e *lostError) Error() string { return e.err.Error() }
func (e *lostError) Unwrap() error { return e.err }

// run connects again and again; nil says that there is nothing to tell the caller.
func (f *follower) run(ctx context.Context) error {
	failures := 0
	for {
		began := time.Now()
		f.tell(State{Phase: Connecting})
		err := f.connect(ctx)
		var lost *lostError
		switch {
		case errors.Is(err, errStopped), errors.Is(err, errAway):
			return nil
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case !errors.As(err, &lost):
			return err
		}
		if f.healthy >= f.client.backoff.Max {
			failures = 0
		}
		wait := Backoff{Base: f.base, Max: f.client.backoff.Max}.wait(failures, lost.asked)
		wait = max(wait, f.client.backoff.Floor-time.Since(began))
		failures++
		f.client.logger.LogAttrs(ctx, slog.LevelWarn, "stream lost", slog.Any("error", lost.err), slog.Duration("again in", wait))
		f.tell(State{Phase: Waiting, Err: lost.err, Retry: wait})
		if err := sleep(ctx, wait); err != nil {
			return err
		}
	}
}

func (f *follower) tell(s State) {
	if f.sub.OnState != nil {
		f.sub.OnState(s)
	}
}

// connect opens one stream and yields what it brings until it ends, which it always does with an error.
func (f *follower) connect(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	f.healthy = 0
	resp, alarm, err := f.open(ctx, cancel)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }() // the stream is over, whatever closing says
	switch resp.StatusCode {
	case http.StatusOK:
	case http.StatusNoContent:
		return errAway
	default:
		return f.refused(resp.StatusCode, problemOf(resp))
	}
	media, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if err != nil || media != "text/event-stream" {
		return fmt.Errorf("client: %s answers a subscription with %q, not text/event-stream", f.client.base.Redacted(), media)
	}
	return f.follow(ctx, resp.Body, alarm)
}

// opening bounds how long a connection may take until the head of the answer; a stream then waits for its hello just as
// long.
const opening = 30 * time.Second

// open sends the request. The alarm it returns cancels it with errSilent.
func (f *follower) open(ctx context.Context, cancel context.CancelCauseFunc) (*http.Response, *time.Timer, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, f.address(), nil)
	if err != nil {
		return nil, nil, fmt.Errorf("client: subscribe: %w", err)
	}
	req.Header.Set("Accept", "text/event-stream")
	req.Header.Set("Cache-Control", "no-store")
	if f.position.Epoch != "" {
		req.Header.Set("Last-Event-ID", f.position.String())
	}
	if err := f.client.authorize(ctx, req.Header); err != nil {
		return nil, nil, err
	}
	alarm := time.AfterFunc(opening, func() { cancel(errSilent) })
	resp, err := f.client.streaming.Do(req)
	alarm.Stop()
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		return nil, nil, &lostError{err: fmt.Errorf("client: subscribe: %w", err)}
	}
	return resp, alarm, nil
}

func (f *follower) address() string {
	query := url.Values{}
	for _, p := range f.sub.Patterns {
		query.Add("topic", p.String())
	}
	for _, t := range f.sub.Types {
		query.Add("type", t)
	}
	if f.sub.Heartbeat != 0 {
		query.Set("heartbeat", f.sub.Heartbeat.String())
	}
	if f.sub.Snapshot {
		query.Set("snapshot", "1")
	}
	if f.sub.Device != "" {
		query.Set("device", f.sub.Device)
	}
	if f.sub.Earliest && f.position.Epoch == "" {
		query.Set("after", "earliest")
	}
	return f.client.address("v1/stream", query)
}

// refused sorts a refusal: load and a token that expired are worth another attempt, the latter once.
func (f *follower) refused(status int, p *roxy.Problem) error {
	switch {
	case p.Code == roxy.TokenExpired && !f.expired:
		f.expired = true
		return &lostError{err: p}
	case status >= http.StatusInternalServerError,
		status == http.StatusRequestTimeout, status == http.StatusTooEarly, status == http.StatusTooManyRequests:
		return &lostError{err: p, asked: p.RetryAfter}
	default:
		return p
	}
}

// follow yields what a stream brings.
func (f *follower) follow(ctx context.Context, body io.Reader, alarm *time.Timer) error {
	link := &watched{body: body, alarm: alarm, silence: opening}
	blocks := newFrames(link, f.client.maxEvent)
	began := time.Now()
	for {
		block, err := blocks.next()
		if err != nil {
			if _, ok := errors.AsType[frameTooLargeError](err); ok {
				return &roxy.Problem{Code: roxy.TooLarge, Detail: err.Error()}
			}
			if cause := context.Cause(ctx); cause != nil {
				err = cause
			}
			return &lostError{err: fmt.Errorf("client: stream: %w", err)}
		}
		f.healthy = time.Since(began)
		if block.retry > 0 {
			f.base = block.retry
		}
		if err := f.take(block, link); err != nil {
			return err
		}
	}
}

// watched arms the alarm while a read waits, and only then: a caller who takes long over an event is not a dead link.
type watched struct {
	body    io.Reader
	alarm   *time.Timer
	silence time.Duration
}

// Read reads what has come, and gives up after w.silence without a byte.
func (w *watched) Read(p []byte) (int, error) {
	w.alarm.Reset(w.silence)
	defer w.alarm.Stop()
	return w.body.Read(p)
}
