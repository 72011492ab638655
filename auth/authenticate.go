package auth

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/roxyhub/roxy"
)

// Authenticate returns who sends r, by the first of: Authorization: Bearer, the cookie, ?ticket=. A ticket is spent by
// it. Errors are *roxy.Problem: those of Verify, and token-in-url.
func (v *Verifier) Authenticate(r *http.Request) (roxy.Identity, error) {
	query := r.URL.Query()
	for name, values := range query {
		if err := tokenInURL(name, values); err != nil {
			v.refused.Add(1)
			return roxy.Identity{}, err
		}
	}
	token, err := v.token(r)
	if token != "" {
		return v.Verify(r.Context(), token)
	}
	// A browser adds the cookie by itself, so one that may not count here does not rule out the ticket.
	_, refused := r.Header["Authorization"]
	if tickets := query["ticket"]; len(tickets) > 0 && !refused {
		return v.redeem(tickets)
	}
	v.refused.Add(1)
	return roxy.Identity{}, err
}

// token returns the token that r carries in a header, or why there is none.
func (v *Verifier) token(r *http.Request) (string, error) {
	if lines := r.Header.Values("Authorization"); len(lines) > 0 {
		return bearer(lines)
	}
	if v.opts.Cookie == "" {
		return "", unauthenticated("Authorization", "no token: send Authorization: Bearer TOKEN, or a ticket")
	}
	cookies := r.CookiesNamed(v.opts.Cookie)
	switch {
	case len(cookies) == 0 || len(cookies) == 1 && cookies[0].Value == "": // emptied by a log-out
		return "", unauthenticated("Authorization", "no token: send Authorization: Bearer TOKEN, the cookie %s, or a ticket", v.opts.Cookie)
	case len(cookies) > 1: // a page of a neighbouring host may have planted one of them
		return "", unauthenticated("Cookie", "%d cookies are named %s: only one may be", len(cookies), v.opts.Cookie)
	case !v.cookieCounts(r):
		return "", unauthenticated("Origin", "the cookie counts only when sent by this site or an allow-listed origin")
	}
	return cookies[0].Value, nil
}

// bearer returns the token of an Authorization header, RFC 6750 §2.1.
func bearer(lines []string) (string, error) {
	if len(lines) > 1 {
		return "", unauthenticated("Authorization", "Authorization was sent %d times", len(lines))
	}
	scheme, token, _ := strings.Cut(lines[0], " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return "", unauthenticated("Authorization", "Authorization is not of the form Bearer TOKEN")
	}
	if token = strings.Trim(token, " "); token == "" {
		return "", unauthenticated("Authorization", "Authorization: Bearer without a token")
	}
	return token, nil
}

// tokenInURL refuses a query parameter that holds a token: URLs end up in logs, histories and Referer headers.
func tokenInURL(name string, values []string) error {
	p := &roxy.Problem{Code: roxy.TokenInURL, Member: name, Detail: "a token stands in the query, where logs and histories keep it: withdraw it, and use a ticket"}
	if looksLikeToken(name) {
		p.Member = ""
		return p
	}
	switch strings.ToLower(name) {
	case "access_token", "id_token", "token", "jwt", "authorization", "bearer":
		return p
	}
	if slices.ContainsFunc(values, looksLikeToken) {
		return p
	}
	return nil
}

// looksLikeToken reports whether s is a JWS or JWE in compact form, with or without the word Bearer: three or five
// parts, the first of which is a JSON object in base64url.
func looksLikeToken(s string) bool {
	if len(s) > 7 && strings.EqualFold(s[:6], "Bearer") {
		s = strings.TrimLeft(s[6:], " +:")
	}
	if dots := strings.Count(s, "."); dots != 2 && dots != 4 {
		return false
	}
	header, _, _ := strings.Cut(s, ".")
	object, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(header, "="))
	return err == nil && bytes.HasPrefix(bytes.TrimLeft(object, " \t\r\n"), []byte("{")) && json.Valid(object)
}

// redeem returns who bought the ticket.
func (v *Verifier) redeem(given []string) (roxy.Identity, error) {
	id, err := v.redeemed(given, time.Now())
	if err != nil {
		v.refused.Add(1)
		return roxy.Identity{}, err
	}
	v.accepted.Add(1)
	return id, nil
}

func (v *Verifier) redeemed(given []string, now time.Time) (roxy.Identity, error) {
	if len(given) > 1 {
		return roxy.Identity{}, unauthenticated("ticket", "ticket was given %d times", len(given))
	}
	id, ok := v.tickets.redeem(given[0], now)
	if !ok {
		return roxy.Identity{}, unauthenticated("ticket", "the ticket was used before, is older than %s, or never was one of this hub", ticketLife)
	}
	if err := v.stillGood(id, now); err != nil {
		return roxy.Identity{}, err
	}
	id.Grant = v.Grant(id)
	return id, nil
}
