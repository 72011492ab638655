// Package client publishes to a Roxy hub, changes and reads its entities, subscribes to it and acknowledges, over the wire of
// docs/protocol.md §3, §4, §6 and §7. It owns what every caller would otherwise get wrong: repeating a publish or a mutation
// without doubling it, a subscription that survives cut links, restarts of the hub and expired tokens without a hole, a
// repeat or a storm of reconnections, telling the hub what a device has handled without handling it twice, and a copy of
// entities that such a subscription keeps right (Replica). It keeps nothing on disk: whoever wants to go on in another
// process stores the Cursor of the last event it handled, or subscribes as a Device, for which the hub does.
package client

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"runtime/debug"
	"time"
)

// Options says where the hub is and how to come to it. Only URL is required.
type Options struct {
	// URL is the hub's public address, such as https://hub.example or http://127.0.0.1:8080. A path is kept as a prefix.
	URL string
	// Token returns what is sent as Authorization: Bearer. It is asked before every attempt, so it is the place to
	// renew a token; an error from it ends the call, so it is also the place to be patient. Nil, or "", sends none.
	Token func(ctx context.Context) (string, error)
	// HTTPClient sends the requests; its Timeout does not apply to subscriptions. Nil is http.DefaultClient.
	HTTPClient *http.Client
	// Backoff spaces the attempts.
	Backoff Backoff
	// PublishAttempts is how often Publish, Mutate and the other calls that end try. Zero is 8, which takes about half a minute on average.
	PublishAttempts int
	// PublishTimeout bounds one attempt of theirs. Zero is 15 s: three times what a hub takes before it gives up.
	PublishTimeout time.Duration
	// MaxEventBytes bounds one event, and one line of it, as it comes from the hub; a larger one ends a subscription.
	// Zero is 1 MiB: a hub accepts 64 KiB unless its configuration says otherwise.
	MaxEventBytes int
	// Logger gets reconnections and repeated attempts. Nil discards.
	Logger *slog.Logger
}

// Client talks to one hub. It is safe for concurrent use and needs no closing.
type Client struct {
	base       *url.URL
	token      func(ctx context.Context) (string, error)
	http       *http.Client // for requests that end
	streaming  *http.Client // the same without its Timeout
	backoff    Backoff
	attempts   int
	timeout    time.Duration
	maxEvent   int
	logger     *slog.Logger
	clientName string // of the header Roxy-Client
}

// New returns a client of the hub at opts.URL. It does not connect.
func New(opts Options) (*Client, error) {
	base, err := url.Parse(opts.URL)
	switch {
	case err != nil:
		return nil, fmt.Errorf("client: URL: %w", errors.Unwrap(err)) // the outer error quotes the URL, which may hold a password
	case base.Scheme != "http" && base.Scheme != "https", base.Host == "":
		return nil, fmt.Errorf("client: URL %q: want http://HOST or https://HOST", base.Redacted())
	case base.User != nil, base.RawQuery != "", base.Fragment != "":
		return nil, fmt.Errorf("client: URL %q: a user, a query or a fragment does not belong here; tokens come from Options.Token", base.Redacted())
	}
	c := &Client{
		base: base, token: opts.Token, http: opts.HTTPClient, backoff: opts.Backoff.withDefaults(),
		attempts: opts.PublishAttempts, timeout: opts.PublishTimeout, maxEvent: opts.MaxEventBytes,
		logger: opts.Logger, clientName: "go/" + version(),
	}
	if c.http == nil {
		c.http = http.DefaultClient
	}
	streaming := *c.http
	streaming.Timeout = 0 // it would cut the body of a healthy stream
	c.streaming = &streaming
	if c.attempts == 0 {
		c.attempts = 8
	}
	if c.timeout == 0 {
		c.timeout = 15 * time.Second
	}
	if c.maxEvent == 0 {
		c.maxEvent = 1 << 20
	}
	if c.logger == nil {
		c.logger = slog.New(slog.DiscardHandler)
	}
	return c, nil
}

// authorize sets what every request carries.
func (c *Client) authorize(ctx context.Context, h http.Header) error {
	h.Set("Roxy-Client", c.clientName)
	if c.token == nil {
		return nil
	}
	token, err := c.token(ctx)
	if err != nil {
		return fmt.Errorf("client: token: %w", err)
	}
	if token != "" {
		h.Set("Authorization", "Bearer "+token)
	}
	return nil
}

// version is that of this module as it was built in, so that an operator sees which client connects.
func version() string {
	const module = "github.com/roxyhub/roxy"
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range append(info.Deps, &info.Main) {
			if m.Path == module && m.Version != "" && m.Version != "(devel)" {
				return m.Version
			}
		}
	}
	return "devel"
}

// sleep waits for d or until ctx ends.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
