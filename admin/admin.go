// Package admin is the operator's listener: health, readiness, metrics, profiles, and what an administrator may see and
// do of a tenant. One file per endpoint; routes.go is the table of contents. It keeps nothing but the last canary's
// outcome. The calls below /v1/admin/ and /debug/ need an administrator's token and tell nothing of other tenants;
// health, readiness and metrics are open to whoever reaches the listener, which is loopback unless configured.
package admin

import (
	"log/slog"
	"net/http"
	"time"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/auth"
	"github.com/roxyhub/roxy/httpapi"
	"github.com/roxyhub/roxy/hub"
)

// Options of the operator's listener. All but Logger are required.
type Options struct {
	Hub     *hub.Hub
	Auth    *auth.Verifier
	Metrics http.Handler // answers /metrics
	// Drain lets the hub leave, its goodbyes spread over at most so long. It returns at once and may be called again.
	Drain     func(over time.Duration)
	DrainOver time.Duration // when a drain does not say
	Logger    *slog.Logger  // readiness when it changes, revocations, failures; requests at debug. Nil discards
}

// api answers requests by its Options.
type api struct {
	Options
	began time.Time
	ready *readiness
}

// New returns the handler of the operator's listener.
func New(opts Options) http.Handler {
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	a := &api{Options: opts, began: time.Now(), ready: &readiness{canary: opts.Hub.Canary, log: opts.Logger}}
	return a.mux()
}

// administrator returns who sends r, and why they may not administer anything; nobody when that is not known. Everything they then see or do is their
// tenant's.
func (a *api) administrator(r *http.Request) (roxy.Identity, error) {
	who, err := a.Auth.Authenticate(r)
	if err != nil {
		return roxy.Identity{}, err
	}
	if !who.Grant.Admin {
		return who, &roxy.Problem{Code: roxy.Forbidden, Detail: "this call is for administrators: neither the token nor its roles grant admin"}
	}
	return who, nil
}

// refuse answers r with the problem behind err and logs what the caller is not told.
func (a *api) refuse(w http.ResponseWriter, r *http.Request, err error) {
	p := httpapi.Write(w, r, err)
	level := slog.LevelDebug
	if p.Code == roxy.Internal {
		level = slog.LevelError
	}
	// The pattern and not the URL, whose query may hold a ticket.
	a.Logger.LogAttrs(r.Context(), level, "request refused",
		slog.String("method", r.Method), slog.String("route", r.Pattern), slog.String("code", string(p.Code)), slog.Any("error", err))
}
