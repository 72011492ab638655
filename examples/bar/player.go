package bar

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/roxyhub/roxy/auth"
	"github.com/roxyhub/roxy/client"
)

// Player says the turns of an evening to a hub, each as the user whose turn it is.
type Player struct {
	URL        string       // the hub's
	Secret     []byte       // signs the users' tokens (HS256)
	HTTPClient *http.Client // nil is http.DefaultClient
	// Speed is how many times faster than the evening was. Zero waits for nothing.
	Speed float64
	// Night tells two evenings apart on one hub: it opens every idempotency key. Whoever plays a night again goes on
	// where it stopped, since the hub knows what was said.
	Night string
	// Said, when not nil, hears of each turn after the hub took it.
	Said func(t Turn, duplicate bool)
}

// Play says turns one after the other, so that nothing is served before it was ordered. What the hub already has takes
// no time.
func (p *Player) Play(ctx context.Context, turns []Turn) error {
	users := map[string]*client.Client{}
	began := time.Now()
	for _, t := range turns {
		if p.Speed > 0 {
			if err := sleepUntil(ctx, began.Add(p.pace(t.At))); err != nil {
				return err
			}
		}
		c, err := p.as(users, t)
		if err != nil {
			return err
		}
		e := t.Event
		e.ID = p.Night + e.ID
		results, err := c.Publish(ctx, e)
		if err != nil {
			return fmt.Errorf("%s as %s at %s: %w", e.ID, t.As, clock(t.At), err)
		}
		if results[0].Duplicate {
			began = time.Now().Add(-p.pace(t.At))
		}
		if p.Said != nil {
			p.Said(t, results[0].Duplicate)
		}
	}
	return nil
}

func (p *Player) pace(at time.Duration) time.Duration {
	if p.Speed <= 0 {
		return 0
	}
	return time.Duration(float64(at) / p.Speed)
}

// as returns the client of the user whose turn it is.
func (p *Player) as(users map[string]*client.Client, t Turn) (*client.Client, error) {
	who := t.As + " " + strings.Join(t.Roles, " ")
	if c, ok := users[who]; ok {
		return c, nil
	}
	c, err := client.New(client.Options{
		URL: p.URL, HTTPClient: p.HTTPClient,
		Token: func(context.Context) (string, error) { return Token(p.Secret, t.As, t.Roles, 5*time.Minute) },
	})
	if err != nil {
		return nil, err
	}
	users[who] = c
	return c, nil
}

// Token returns a development token of a user with roles, signed with secret. A real bar has its tokens from its
// identity provider.
func Token(secret []byte, user string, roles []string, lifetime time.Duration) (string, error) {
	now := time.Now()
	token, err := auth.SignDevelopment(secret, auth.Claims{User: user, Roles: roles, IssuedAt: now, Expires: now.Add(lifetime)})
	if err != nil {
		return "", fmt.Errorf("token of %s: %w", user, err)
	}
	return token, nil
}

func sleepUntil(ctx context.Context, at time.Time) error {
	timer := time.NewTimer(time.Until(at))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
