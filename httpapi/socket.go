package httpapi

import (
	"context"
	"net/http"
	"net/url"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/transport"
	"github.com/roxyhub/roxy/transport/ws"
)

// socket answers GET /v1/ws until the socket ends. A browser's WebSocket can read no status, but whatever else opens one
// can: every refusal of a handshake is a problem.
func (a *api) socket(x *exchange, r *http.Request) error {
	ip := clientIP(r, a.TrustedProxies)
	attempt := func() error { return a.Limits.Attempt(ip) }
	if err := attempt(); err != nil {
		return err
	}
	if err := ws.Check(r); err != nil { // before a ticket is spent on it
		x.Header().Set("Sec-WebSocket-Version", "13")
		return err
	}
	if err := a.admit(r); err != nil { // so is this
		return err
	}
	who, err := a.authenticate(x, r)
	if err != nil {
		return err
	}
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return &roxy.Problem{Code: roxy.InvalidParameter, Detail: "the query is not percent-encoded as it should be"}
	}
	for name := range query {
		if name != "ticket" {
			return &roxy.Problem{Code: roxy.InvalidParameter, Member: name, Detail: "a socket has the parameter ticket alone: topics are named when it subscribes"}
		}
	}
	release, err := a.Limits.Connect(ip, who.Tenant, who.User)
	if err != nil {
		return err
	}
	x.status = http.StatusSwitchingProtocols
	// What the socket keeps of its handshake, for the log: neither its headers nor its server.
	said := &host{a, &exchange{status: x.status, tenant: x.tenant, user: x.user, remote: x.remote}, &http.Request{Method: r.Method, Pattern: r.Pattern}}
	if err := ws.Serve(x, r, &ws.Options{
		Hub: a.Hub, Host: said, MaxMessage: int(a.maxBody) + envelope, NoCompression: a.NoCompression,
		Subscription: transport.Options{MaxTopics: a.MaxTopicsPerStream, Heartbeat: a.Heartbeat},
	}, ws.Peer{Identity: who, Remote: ip.String(), Attempt: attempt, Ended: release}); err != nil {
		release() // it never began
		return err
	}
	return nil
}

// host is the listener as a socket needs it; x and r are the handshake, for the log.
type host struct {
	a *api
	x *exchange
	r *http.Request
}

// Still implements ws.Host.
func (h *host) Still(who roxy.Identity) (roxy.Identity, error) { return h.a.Auth.Still(who) }

// Verify implements ws.Host.
func (h *host) Verify(ctx context.Context, token string) (roxy.Identity, error) {
	return h.a.Auth.Verify(ctx, token)
}

// Commit implements ws.Host: what POST /v1/events, POST /v1/mutations and POST /v1/acks do with a body of JSON.
func (h *host) Commit(ctx context.Context, who roxy.Identity, op string, value []byte) ([]byte, error) {
	if op == "ack" {
		answer, _, err := h.a.commitAcks(ctx, who, value)
		return answer, err
	}
	if err := h.a.Limits.Memory(); err != nil {
		return nil, err
	}
	if op == "mutate" {
		answer, _, err := h.a.commitMutations(ctx, who, value, func([]roxy.Mutation) error { return nil })
		return answer, err
	}
	p, err := readEvents(h.a, nil, value)
	if err != nil {
		return nil, err
	}
	if _, err := h.a.Limits.Publish(who.Tenant, who.User, len(p.events)); err != nil {
		return nil, err
	}
	results, err := h.a.Hub.Publish(ctx, who, p.events)
	if err != nil {
		return nil, p.locate(err)
	}
	return appendPublished(nil, results), nil
}

// Problem implements ws.Host.
func (h *host) Problem(err error) []byte {
	p := problemOf(err)
	h.a.refused(h.x, h.r, p)
	return describe(p).encode()
}
