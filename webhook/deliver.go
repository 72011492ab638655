package webhook

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/engine"
)

// The wait before the n-th retry is a random part of firstWait·2^(n-1), at most longestWait ("full jitter"), and behind
// what the receiver asks for.
const (
	firstWait   = time.Second
	longestWait = 10 * time.Minute
	// maxRetryAfter bounds what a receiver may ask for: a mistake of it must not silence the webhook for days.
	maxRetryAfter = time.Hour
	// maxAnswer is how much of an answer's body is read, for the connection's sake. What it says is not looked at.
	maxAnswer = 64 << 10
)

// newClient returns the client that posts. It follows no redirects: whoever may change where the receiver's answers point
// would choose who reads the letters.
func newClient() *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			Proxy:                  http.ProxyFromEnvironment,
			ForceAttemptHTTP2:      true,
			TLSHandshakeTimeout:    attemptTimeout,
			MaxResponseHeaderBytes: 64 << 10,
			MaxIdleConnsPerHost:    attempts,
			IdleConnTimeout:        time.Minute,
		},
		Timeout:       attemptTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// turn waits for one of the attempts that are under way at once; false when ctx ends first.
func (w *Webhook) turn(ctx context.Context) bool {
	select {
	case w.turns <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

func (w *Webhook) endTurn() { <-w.turns }

// deliver works on q until nothing waits or ctx ends.
func (w *Webhook) deliver(ctx context.Context, q *queue) {
	for {
		l, epoch, ok := w.first(ctx, q)
		if !ok {
			return
		}
		if w.deliverOne(ctx, q.tenant, roxy.Cursor{Epoch: epoch, Offset: l.offset}) {
			w.done(q, epoch, l)
		}
	}
}

// deliverOne delivers one letter, however long that takes. It is false when ctx ended before.
func (w *Webhook) deliverOne(ctx context.Context, tenant string, at roxy.Cursor) bool {
	body, gone := w.bodyOf(ctx, tenant, at)
	switch {
	case gone:
		w.lost.Add(1)
		w.logger.LogAttrs(ctx, slog.LevelWarn, "retention deleted a dead letter before the webhook had delivered it",
			slog.String("tenant", tenant), slog.String("cursor", at.String()))
		return true
	case body == nil:
		return false
	}
	for try := 1; ; try++ {
		after, err := w.attempt(ctx, at, body)
		if ctx.Err() != nil {
			return false
		}
		if err == nil {
			w.delivered.Add(1)
			if try > 1 {
				w.logger.LogAttrs(ctx, slog.LevelInfo, "the webhook has a dead letter at last", slog.String("host", w.host), slog.String("tenant", tenant),
					slog.String("cursor", at.String()), slog.Int("attempts", try))
			}
			break
		}
		w.failures.Add(1)
		level := slog.LevelDebug
		if try == 1 {
			level = slog.LevelWarn
		}
		w.logger.LogAttrs(ctx, level, "the webhook did not take a dead letter: it is sent again until it does", slog.String("host", w.host),
			slog.String("tenant", tenant), slog.String("cursor", at.String()), slog.Int("attempt", try), slog.Any("error", err))
		if !w.pause(ctx, try, after) {
			return false
		}
	}
	// When this fails, the letter is sent once more after a restart, unless the next one's position is noted before.
	if err := w.acknowledge(ctx, tenant, at); err != nil {
		w.troubled(ctx, "how far the webhook is could not be noted", tenant, 1, err)
	}
	return true
}

// payload is the body of a request (docs/protocol.md §7).
type payload struct {
	Type        string          `json:"type"`
	Tenant      string          `json:"tenant"`
	Cursor      string          `json:"cursor"`
	Correlation string          `json:"correlation,omitempty"`
	Timestamp   time.Time       `json:"timestamp"`
	Data        json.RawMessage `json:"data"`
}

// bodyOf returns what is sent of the letter at a cursor, or that it is no longer retained; neither when ctx ended.
func (w *Webhook) bodyOf(ctx context.Context, tenant string, at roxy.Cursor) (body []byte, gone bool) {
	for try := 1; ; try++ {
		body, err := w.readBody(ctx, tenant, at)
		switch {
		case errors.Is(err, engine.ErrTrimmed):
			return nil, true
		case err == nil:
			return body, false
		}
		w.troubled(ctx, "a dead letter cannot be read", tenant, try, err)
		if !w.pause(ctx, try, 0) {
			return nil, false
		}
	}
}

func (w *Webhook) readBody(ctx context.Context, tenant string, at roxy.Cursor) ([]byte, error) {
	for e, err := range w.store.Read(ctx, tenant, engine.Query{After: at.Offset - 1, Until: at.Offset}) {
		if err != nil {
			return nil, err
		}
		if !isLetter(&e) { // the log began anew
			break
		}
		return json.Marshal(payload{e.Type, tenant, at.String(), e.Correlation, e.Time, e.Data})
	}
	return nil, fmt.Errorf("%w: no dead letter stands at %s any more", engine.ErrTrimmed, at)
}

// attempt posts a letter once. It returns how long the receiver wants to be left alone, when it did not take it.
func (w *Webhook) attempt(ctx context.Context, at roxy.Cursor, body []byte) (after time.Duration, err error) {
	if !w.turn(ctx) {
		return 0, ctx.Err()
	}
	defer w.endTurn()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.opts.URL, bytes.NewReader(body))
	if err != nil {
		return 0, withoutURL(err)
	}
	// The id is what receivers know a repetition by. Its dot makes way because one would be taken for the end of the id
	// in what is signed.
	id, now := strings.ReplaceAll(at.String(), ".", "-"), time.Now()
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "roxy")
	req.Header.Set("Webhook-Id", id)
	req.Header.Set("Webhook-Timestamp", strconv.FormatInt(now.Unix(), 10))
	req.Header.Set("Webhook-Signature", w.opts.Secret.sign(id, now, body))
	resp, err := w.client.Do(req) //nolint:gosec // where to is the operator's to say
	if err != nil {
		return 0, withoutURL(err)
	}
	_, _ = io.CopyN(io.Discard, resp.Body, maxAnswer) // the status has been read, and says all
	_ = resp.Body.Close()
	if resp.StatusCode/100 == 2 {
		return 0, nil
	}
	return retryAfter(resp.Header.Get("Retry-After"), now), fmt.Errorf("it answered %d", resp.StatusCode)
}

// withoutURL returns what is wrong without the URL, which may hold a password.
func withoutURL(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		return e.Err
	}
	return err
}

// retryAfter returns what a Retry-After header asks for: seconds or a date (RFC 9110 §10.2.3), 0 when it is neither.
func retryAfter(header string, now time.Time) time.Duration {
	header = strings.TrimSpace(header)
	if n, err := strconv.ParseUint(header, 10, 63); err == nil {
		return time.Duration(min(n, uint64(maxRetryAfter/time.Second))) * time.Second
	}
	at, err := http.ParseTime(header)
	if err != nil {
		return 0
	}
	return min(max(at.Sub(now), 0), maxRetryAfter)
}

// backoff returns how long the wait before a retry is at most.
func backoff(first time.Duration, try int) time.Duration {
	return min(first<<min(try-1, 20), longestWait)
}

// pause waits before the next try, and reports whether there is one.
func (w *Webhook) pause(ctx context.Context, try int, after time.Duration) bool {
	wait := after + rand.N(backoff(w.opts.firstWait, try)) //nolint:gosec // spreads load, guards nothing
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
