package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/roxyhub/roxy"
)

// call is one request that may be made again until the hub has answered: it is the same each time, and carries keys
// where a repetition could double something.
type call struct {
	what        string // for errors and the log, such as publish 3 events
	method      string
	path        string // below the hub's URL, escaped
	query       url.Values
	body        []byte // JSON; nil for none
	traceParent string
	fragile     bool // nothing protects it from doubling: it is not made again once the hub may have seen it
}

// maxAnswerBytes bounds an answer: a page of entities takes up to 4 MiB and an entity.
const maxAnswerBytes = 16 << 20

// do makes the call until the hub has answered, the attempts are used up or ctx ends, and returns the answer's body. A
// refusal is a *roxy.Problem.
func (c *Client) do(ctx context.Context, do call) ([]byte, error) {
	for failures := 0; ; failures++ {
		answer, again, err := c.once(ctx, do)
		if err == nil {
			return answer, nil
		}
		if ctx.Err() != nil {
			return nil, fmt.Errorf("client: %s: %w", do.what, errors.Join(context.Cause(ctx), err))
		}
		if !again || failures+1 >= c.attempts || do.fragile && !neverSent(err) {
			return nil, err
		}
		var asked roxy.Problem
		if p, ok := errors.AsType[*roxy.Problem](err); ok {
			asked = *p
		}
		wait := c.backoff.wait(failures, asked.RetryAfter)
		c.logger.LogAttrs(ctx, slog.LevelWarn, "call is made again", slog.String("call", do.what),
			slog.Int("failures", failures+1), slog.Duration("in", wait), slog.Any("error", err))
		if cause := sleep(ctx, wait); cause != nil {
			return nil, fmt.Errorf("client: %s: %w", do.what, errors.Join(cause, err))
		}
	}
}

// once makes one attempt; again tells whether another may end better.
func (c *Client) once(ctx context.Context, do call) (answer []byte, again bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, do.method, c.address(do.path, do.query), bytes.NewReader(do.body))
	if err != nil {
		return nil, false, fmt.Errorf("client: %s: %w", do.what, err)
	}
	if do.body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if do.traceParent != "" {
		req.Header.Set("Traceparent", do.traceParent)
	}
	if err := c.authorize(ctx, req.Header); err != nil {
		return nil, false, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, true, fmt.Errorf("client: %s: %w", do.what, err)
	}
	defer func() { _ = resp.Body.Close() }() // it was read; closing only gives the connection back
	switch resp.StatusCode {
	case http.StatusOK, http.StatusNoContent:
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return nil, true, problemOf(resp)
	default:
		return nil, false, problemOf(resp)
	}
	answer, err = io.ReadAll(io.LimitReader(resp.Body, maxAnswerBytes+1))
	if err != nil {
		return nil, true, fmt.Errorf("client: answer to %s: %w", do.what, err)
	}
	if len(answer) > maxAnswerBytes {
		return nil, false, fmt.Errorf("client: answer to %s: more than %d bytes", do.what, maxAnswerBytes)
	}
	return answer, false, nil
}

// address returns the URL of what is at path, which is escaped, below the hub's.
func (c *Client) address(path string, query url.Values) string {
	address := strings.TrimSuffix(c.base.String(), "/") + "/" + path
	if len(query) > 0 {
		address += "?" + query.Encode()
	}
	return address
}

// neverSent reports whether err came before a connection: then not a byte of the request can have left.
func neverSent(err error) bool {
	op, ok := errors.AsType[*net.OpError](err)
	return ok && op.Op == "dial"
}
