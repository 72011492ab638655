package auth

import (
	"context"
	"crypto/sha256"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/roxyhub/roxy"
)

// maxTokenBytes bounds a token: what common proxies let a header line hold.
const maxTokenBytes = 16 << 10

// Verify returns whom a token names and what they may do, or a *roxy.Problem: token-expired; not-ready while its
// issuer's keys have never been fetched; unauthenticated for all else. ctx bounds the wait for keys that must be
// fetched first. The identity's slices are shared: leave them alone.
func (v *Verifier) Verify(ctx context.Context, token string) (roxy.Identity, error) {
	now, policy := time.Now(), v.policy.Load()
	hash := sha256.Sum256([]byte(token))
	id, ok := v.verified.get(hash, policy, now)
	if !ok {
		var err error
		if id, err = v.check(ctx, token); err != nil {
			v.refused.Add(1)
			return roxy.Identity{}, err
		}
		id.Grant = policy.grant(id)
		v.verified.put(hash, id, policy, now)
	}
	if err := v.stillGood(id, now); err != nil {
		v.refused.Add(1)
		return roxy.Identity{}, err
	}
	v.accepted.Add(1)
	return id, nil
}

// Still returns id, once verified, as it may act now: under the policy of this moment. Errors are *roxy.Problem: its
// token has expired or was revoked.
func (v *Verifier) Still(id roxy.Identity) (roxy.Identity, error) {
	if err := v.stillGood(id, time.Now()); err != nil {
		return roxy.Identity{}, err
	}
	id.Grant = v.Grant(id)
	return id, nil
}

// stillGood returns why id, once verified, is good no more: that changes with time.
func (v *Verifier) stillGood(id roxy.Identity, now time.Time) error {
	if !now.Before(id.Expires.Add(v.opts.Leeway)) {
		return expired(id.Expires)
	}
	if v.opts.Revoked != nil && v.opts.Revoked(id) {
		return unauthenticated("", "the token was revoked")
	}
	return nil
}

func expired(at time.Time) *roxy.Problem {
	return &roxy.Problem{Code: roxy.TokenExpired, Member: "exp", Detail: "the token expired at " + at.UTC().Format(time.RFC3339)}
}

// check verifies the token's signature and reads its claims.
func (v *Verifier) check(ctx context.Context, token string) (roxy.Identity, error) {
	if len(token) > maxTokenBytes {
		return roxy.Identity{}, unauthenticated("", "the token takes %d bytes, at most %d", len(token), maxTokenBytes)
	}
	claims := jwt.MapClaims{}
	unsure, err := v.parse(token, claims)
	if err != nil && len(unsure) > 0 {
		// The issuer may have a key that we do not know yet.
		fetched := false
		for _, issuer := range unsure {
			fetched = issuer.refresh(ctx) || fetched
		}
		if fetched {
			unsure, err = v.parse(token, claims)
		}
		if err != nil && slices.ContainsFunc(unsure, (*issuer).empty) {
			return roxy.Identity{}, &roxy.Problem{
				Code:       roxy.NotReady,
				Detail:     "the keys of the token's issuer could not be fetched yet",
				RetryAfter: minBackoff,
			}
		}
	}
	if err != nil {
		return roxy.Identity{}, v.refusal(err)
	}
	id, err := v.identity(claims)
	if err != nil {
		return roxy.Identity{}, err
	}
	if err := v.claims.Validate(claims); err != nil {
		return roxy.Identity{}, v.claimRefusal(err, claims, id)
	}
	return id, nil
}

// errCritical refuses a token with extensions: RFC 7515 §4.1.11 forbids to ignore those called critical.
var errCritical = errors.New("critical extensions")

// parse verifies the token's signature with the keys of its algorithm and decodes its claims. On an error, unsure are
// the issuers that might have the right key after a fetch.
func (v *Verifier) parse(token string, claims jwt.MapClaims) (unsure []*issuer, err error) {
	_, err = v.parser.ParseWithClaims(token, claims, func(t *jwt.Token) (any, error) {
		if _, ok := t.Header["crit"]; ok {
			return nil, errCritical
		}
		// The parser has refused what is not on the configured list. Only keys of the very algorithm are candidates:
		// a public key is never taken for an HMAC secret, whatever the token says of itself.
		algorithm := t.Method.Alg()
		set := jwt.VerificationKeySet{Keys: slices.Clone(v.static[algorithm])}
		for _, issuer := range v.issuers[algorithm] {
			keys, sure := issuer.candidates(t)
			set.Keys = append(set.Keys, keys...)
			if !sure {
				unsure = append(unsure, issuer)
			}
		}
		return set, nil
	})
	return unsure, err
}

// refusal tells why a token was not read or its signature not accepted.
func (v *Verifier) refusal(err error) *roxy.Problem {
	switch {
	case errors.Is(err, jwt.ErrTokenMalformed):
		return unauthenticated("", "the token is not a JWT: three parts of base64url with dots between, the first two JSON")
	case errors.Is(err, errCritical):
		return unauthenticated("crit", "the token has critical header members, and the hub knows none")
	case errors.Is(err, jwt.ErrTokenSignatureInvalid), errors.Is(err, jwt.ErrTokenUnverifiable):
		return unauthenticated("", "no key verifies the token's signature; accepted algorithms: %s", strings.Join(v.accepts, ", "))
	}
	return unauthenticated("", "the token cannot be read")
}

// claimRules are what jwt checks of claims whose types are right.
func claimRules(opts Options) []jwt.ParserOption {
	rules := []jwt.ParserOption{jwt.WithLeeway(opts.Leeway), jwt.WithExpirationRequired(), jwt.WithIssuedAt()}
	if opts.Issuer != "" {
		rules = append(rules, jwt.WithIssuer(opts.Issuer))
	}
	if opts.Audience != "" {
		rules = append(rules, jwt.WithAudience(opts.Audience))
	}
	return rules
}

// claimRefusal names the claim that is at fault. That a token has expired comes last: a fresh one would be refused for
// the other reasons again.
func (v *Verifier) claimRefusal(err error, claims jwt.MapClaims, id roxy.Identity) *roxy.Problem {
	issuer, _ := claims["iss"].(string)
	switch {
	case v.opts.Issuer != "" && issuer != v.opts.Issuer:
		return unauthenticated("iss", "iss is not %q", v.opts.Issuer)
	case errors.Is(err, jwt.ErrTokenNotValidYet):
		return unauthenticated("nbf", "nbf: the token is not valid yet")
	case errors.Is(err, jwt.ErrTokenUsedBeforeIssued):
		return unauthenticated("iat", "iat lies in the future: the clocks of issuer and hub differ")
	case errors.Is(err, jwt.ErrTokenInvalidAudience), !errors.Is(err, jwt.ErrTokenExpired): // aud may also be missing or no string
		return unauthenticated("aud", "aud does not hold %q", v.opts.Audience)
	}
	return expired(id.Expires)
}
