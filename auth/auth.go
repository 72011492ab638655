// Package auth says who is asking and what they may: it verifies tokens (docs/protocol.md §2), trades them for tickets,
// and joins what a token grants with what the policy grants to its roles. It is the only place where an identity is
// made from outside bytes. It keeps no sessions, and it does not decide whether a grant allows something: the hub does.
package auth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/roxyhub/roxy"
)

// Defaults of Options.
const (
	DefaultTenantClaim = "tenant"
	DefaultRolesClaim  = "roles"
	DefaultTenant      = "default" // of a token without a tenant claim
)

// Options of a Verifier. Only Keys is required.
type Options struct {
	// Keys are what tokens are verified with. Together their algorithms are the list of those that are accepted.
	Keys []Key
	// Issuer and Audience, when set, must be the token's iss and among its aud.
	Issuer, Audience string
	// Leeway is how far the issuer's clock may be from ours.
	Leeway time.Duration
	// Cookie is the name of the cookie that may carry a token. Empty means that cookies are not looked at.
	Cookie string
	// Origins are those whose pages may send the cookie from another site, as browsers write them: https://bar.example.
	// There is no wildcard: * is an origin that no browser sends.
	Origins []string
	// TenantClaim and RolesClaim say where the token holds them: a claim's name, or a path of names with dots between
	// such as realm_access.roles. A claim whose own name holds dots, as https://bar.example/roles, is found by that name.
	TenantClaim, RolesClaim string
	// Policy is what roles grant until SetPolicy says otherwise.
	Policy Policy
	// Revoked reports whether a token was withdrawn. It is asked each time a token or ticket is used, and must be quick.
	Revoked func(roxy.Identity) bool
	// Logger hears of signing keys that could and could not be fetched. Nil discards.
	Logger *slog.Logger
}

// Verifier tells who sends a request. Its methods are safe for concurrent use. Their refusals are *roxy.Problem and
// never hold a token or a ticket.
type Verifier struct {
	opts     Options  // without its keys
	accepts  []string // algorithms, sorted
	parser   *jwt.Parser
	claims   *jwt.Validator
	static   map[string][]jwt.VerificationKey // by algorithm
	issuers  map[string][]*issuer             // by algorithm
	policy   atomic.Pointer[Policy]
	verified *cache
	tickets  *tickets

	accepted, refused atomic.Uint64

	stop    context.CancelFunc
	running sync.WaitGroup
	client  *http.Client
}

// New returns a Verifier, or an error that names the option at fault. Keys behind a URL are fetched in the background
// until ctx ends or Close is called: an issuer that is down does not keep the hub from starting.
func New(ctx context.Context, opts Options) (*Verifier, error) {
	return newVerifier(ctx, opts, newClient())
}

// newVerifier is New with the client that fetches keys.
func newVerifier(ctx context.Context, opts Options, client *http.Client) (*Verifier, error) {
	if len(opts.Keys) == 0 {
		return nil, errors.New("auth: no keys: nobody could be authenticated")
	}
	if opts.Cookie != "" {
		named := http.Cookie{Name: opts.Cookie} //nolint:gosec // only its name is looked at: the hub sets no cookie
		if err := named.Valid(); err != nil {
			return nil, fmt.Errorf("auth: cookie %q: %w", opts.Cookie, err)
		}
	}
	if opts.Leeway < 0 {
		return nil, fmt.Errorf("auth: leeway %s is negative", opts.Leeway)
	}
	if opts.TenantClaim == "" {
		opts.TenantClaim = DefaultTenantClaim
	}
	if opts.RolesClaim == "" {
		opts.RolesClaim = DefaultRolesClaim
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	v := &Verifier{
		opts:     opts,
		static:   make(map[string][]jwt.VerificationKey),
		issuers:  make(map[string][]*issuer),
		verified: newCache(),
		tickets:  newTickets(),
		client:   client,
	}
	for i, key := range opts.Keys {
		if err := key.Check(); err != nil {
			return nil, fmt.Errorf("auth: keys[%d]: %w", i, err)
		}
		v.accepts = append(v.accepts, key.Algorithm)
		switch {
		case key.JWKSURL != "":
			v.issuers[key.Algorithm] = append(v.issuers[key.Algorithm], newIssuer(key, v.client, opts.Logger))
		case key.Secret != nil:
			v.static[key.Algorithm] = append(v.static[key.Algorithm], slices.Clone(key.Secret))
		default:
			v.static[key.Algorithm] = append(v.static[key.Algorithm], key.PublicKey)
		}
	}
	v.opts.Keys = nil // nobody prints a secret that is not there
	slices.Sort(v.accepts)
	v.accepts = slices.Compact(v.accepts)
	v.parser = jwt.NewParser(jwt.WithValidMethods(v.accepts), jwt.WithStrictDecoding(), jwt.WithoutClaimsValidation())
	v.claims = jwt.NewValidator(claimRules(opts)...)
	v.SetPolicy(opts.Policy)

	ctx, v.stop = context.WithCancel(ctx)
	for _, of := range v.issuers {
		for _, issuer := range of {
			v.running.Go(func() { issuer.run(ctx) })
		}
	}
	return v, nil
}

// Close stops fetching keys and waits for that. Calling it again is harmless. Tokens are still verified afterwards,
// with the keys at hand.
func (v *Verifier) Close() {
	v.stop()
	v.running.Wait()
	v.client.CloseIdleConnections()
}

// Stats is what a Verifier counts.
type Stats struct {
	Accepted      uint64 // tokens and tickets that were good, since the start
	Refused       uint64 // and those that were not
	Cached        uint64 // tokens accepted without verifying their signature again
	Tickets       int    // issued and not used yet
	KeyFetches    uint64 // of signing keys, failed ones included
	KeyFetchFails uint64
}

// Stats returns a copy of the counts.
func (v *Verifier) Stats() Stats {
	s := Stats{
		Accepted: v.accepted.Load(),
		Refused:  v.refused.Load(),
		Cached:   v.verified.hits.Load(),
		Tickets:  v.tickets.outstanding(),
	}
	for _, of := range v.issuers {
		for _, issuer := range of {
			s.KeyFetches += issuer.fetches.Load()
			s.KeyFetchFails += issuer.fails.Load()
		}
	}
	return s
}

// unauthenticated is the refusal of whoever could not show who they are.
func unauthenticated(member, format string, args ...any) *roxy.Problem {
	return &roxy.Problem{Code: roxy.Unauthenticated, Member: member, Detail: fmt.Sprintf(format, args...)}
}
