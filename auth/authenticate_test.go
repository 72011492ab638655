package auth

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/roxyhub/roxy"
)

// request returns one with the header lines given in pairs.
func request(tb testing.TB, method, target string, header ...string) *http.Request {
	tb.Helper()
	r := httptest.NewRequestWithContext(tb.Context(), method, target, nil)
	for line := range slices.Chunk(header, 2) {
		r.Header.Add(line[0], line[1])
	}
	return r
}

func TestTheFirstOfHeaderCookieAndTicketCounts(t *testing.T) {
	v := openHS(t, Options{Cookie: "roxy_token"})
	header, cookie := signHS(t, with(jwt.MapClaims{"sub": "header"})), "roxy_token="+signHS(t, with(jwt.MapClaims{"sub": "cookie"}))
	over := signHS(t, with(jwt.MapClaims{"exp": 1}))
	ticket := func() string {
		text, _, err := v.IssueTicket(roxy.Identity{User: "ticket", Expires: time.Now().Add(time.Hour)})
		if err != nil {
			t.Fatal(err)
		}
		return "/v1/stream?ticket=" + text
	}
	for name, tt := range map[string]struct {
		target string
		header []string
		user   string // "" when refused
		code   roxy.Code
		member string
	}{
		"all three":                            {ticket(), []string{"Authorization", "Bearer " + header, "Cookie", cookie}, "header", "", ""},
		"cookie and ticket":                    {ticket(), []string{"Cookie", cookie}, "cookie", "", ""},
		"ticket":                               {ticket(), nil, "ticket", "", ""},
		"ticket, the cookie does not count":    {ticket(), []string{"Cookie", cookie, "Sec-Fetch-Site", "cross-site"}, "ticket", "", ""},
		"ticket, the cookie is empty":          {ticket(), []string{"Cookie", "roxy_token="}, "ticket", "", ""},
		"a scheme in lower case":               {"/", []string{"Authorization", "bearer " + header}, "header", "", ""},
		"two spaces":                           {"/", []string{"Authorization", "Bearer  " + header + " "}, "header", "", ""},
		"nothing":                              {"/", nil, "", roxy.Unauthenticated, "Authorization"},
		"an empty cookie":                      {"/", []string{"Cookie", "roxy_token="}, "", roxy.Unauthenticated, "Authorization"},
		"another cookie":                       {"/", []string{"Cookie", "session=" + header}, "", roxy.Unauthenticated, "Authorization"},
		"a bad header before a good ticket":    {ticket(), []string{"Authorization", "Bearer x"}, "", roxy.Unauthenticated, ""},
		"an empty header before a good ticket": {ticket(), []string{"Authorization", ""}, "", roxy.Unauthenticated, "Authorization"},
		"an expired cookie before a ticket":    {ticket(), []string{"Cookie", "roxy_token=" + over}, "", roxy.TokenExpired, "exp"},
		"Basic":                                {"/", []string{"Authorization", "Basic dTpw"}, "", roxy.Unauthenticated, "Authorization"},
		"the token alone":                      {"/", []string{"Authorization", header}, "", roxy.Unauthenticated, "Authorization"},
		"Bearer alone":                         {"/", []string{"Authorization", "Bearer "}, "", roxy.Unauthenticated, "Authorization"},
		"two headers":                          {"/", []string{"Authorization", "Bearer " + header, "Authorization", "Bearer " + header}, "", roxy.Unauthenticated, "Authorization"},
		"two cookies of the name":              {"/", []string{"Cookie", cookie + "; " + cookie}, "", roxy.Unauthenticated, "Cookie"},
		"an invented ticket":                   {"/?ticket=" + strings.Repeat("A", 43), nil, "", roxy.Unauthenticated, "ticket"},
		"an empty ticket":                      {"/?ticket=", nil, "", roxy.Unauthenticated, "ticket"},
		"two tickets":                          {ticket() + "&ticket=x", nil, "", roxy.Unauthenticated, "ticket"},
	} {
		t.Run(name, func(t *testing.T) {
			id, err := v.Authenticate(request(t, http.MethodGet, tt.target, tt.header...))
			if tt.user != "" {
				if err != nil || id.User != tt.user {
					t.Fatalf("%+v, %v", id, err)
				}
				return
			}
			refused(t, err, tt.code, tt.member, header, strings.TrimPrefix(cookie, "roxy_token="))
		})
	}
}

func TestCookiesAreNotLookedAtUnlessNamed(t *testing.T) {
	v := openHS(t, Options{})
	_, err := v.Authenticate(request(t, http.MethodGet, "/", "Cookie", "roxy_token="+signHS(t, nil)))
	refused(t, err, roxy.Unauthenticated, "Authorization")
}

func TestATokenInTheQueryIsRefusedWhereverItStands(t *testing.T) {
	v := openHS(t, Options{})
	token := signHS(t, nil)
	encrypted := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"dir"}`)) + "....x"
	for name, tt := range map[string]struct{ query, member string }{
		"token":                          {"token=" + token, "token"},
		"access_token":                   {"access_token=" + token, "access_token"},
		"authorization":                  {"authorization=Bearer+" + token, "authorization"},
		"Authorization, percent-encoded": {"Authorization=Bearer%20" + url.QueryEscape(token), "Authorization"},
		"jwt":                            {"jwt=" + token, "jwt"},
		"a token that is no JWT":         {"access_token=hunter2hunter2", "access_token"},
		"ticket":                         {"ticket=" + token, "ticket"},
		"any name":                       {"topic=a&x=" + token, "x"},
		"the second of a name":           {"topic=a&topic=" + token, "topic"},
		"as a name":                      {token, ""},
		"encrypted":                      {"x=" + encrypted, "x"},
		"signed by somebody else":        {"x=" + token[:len(token)-3] + "AAA", "x"},
	} {
		t.Run(name, func(t *testing.T) {
			// Even next to a good header: the token has leaked all the same.
			_, err := v.Authenticate(request(t, http.MethodGet, "/v1/stream?"+tt.query, "Authorization", "Bearer "+token))
			refused(t, err, roxy.TokenInURL, tt.member, token, "hunter2")
		})
	}
	for _, query := range []string{"topic=orders.a.b", "topic=a.b.c.d.e", "topic=eyJ.x.y", "type=order:new&after=k3x9.12"} {
		if _, err := v.Authenticate(request(t, http.MethodGet, "/v1/stream?"+query, "Authorization", "Bearer "+token)); err != nil {
			t.Errorf("%s: %v", query, err)
		}
	}
}

func TestCookiesCountOnlyFromThisSiteAndListedOrigins(t *testing.T) {
	v := openHS(t, Options{Cookie: "roxy_token", Origins: []string{"https://bar.example", "*"}})
	cookie := "roxy_token=" + signHS(t, nil)
	for name, tt := range map[string]struct {
		method       string
		origin, site string // "" when not sent
		tls          bool
		good         bool
	}{
		"EventSource of this origin":                 {"GET", "", "same-origin", false, true},
		"EventSource of this origin, plain http":     {"GET", "", "", false, true},
		"EventSource of a listed origin":             {"GET", "https://bar.example", "cross-site", false, true},
		"EventSource of a sibling":                   {"GET", "https://app.example.com", "same-site", false, true},
		"EventSource of a stranger":                  {"GET", "https://evil.example", "cross-site", false, false},
		"EventSource of a stranger, old browser":     {"GET", "https://evil.example", "", false, false},
		"an image on a stranger's page":              {"GET", "", "cross-site", false, false},
		"typed by the user":                          {"GET", "", "none", false, true},
		"POST typed by nobody":                       {"POST", "", "none", false, false},
		"POST of this origin":                        {"POST", "http://example.com", "same-origin", false, true},
		"POST of this origin, old browser":           {"POST", "http://example.com", "", false, true},
		"POST of this origin over TLS, old browser":  {"POST", "https://example.com", "", true, true},
		"POST of plain http to TLS, old browser":     {"POST", "http://example.com", "", true, false},
		"POST of this origin behind a TLS proxy":     {"POST", "https://EXAMPLE.com", "", false, true},
		"POST of a sandboxed frame":                  {"POST", "null", "cross-site", false, false},
		"POST of a sandboxed frame, old browser":     {"POST", "null", "", false, false},
		"POST of a stranger":                         {"POST", "https://evil.example", "cross-site", false, false},
		"POST without Origin":                        {"POST", "", "", false, false},
		"POST without Origin, same-origin":           {"POST", "", "same-origin", false, false},
		"POST of another port, old browser":          {"POST", "http://example.com:8081", "", false, false},
		"POST of a name that begins like this one":   {"POST", "http://example.com.evil.example", "", false, false},
		"POST of a listed name with another scheme":  {"POST", "http://bar.example", "cross-site", false, false},
		"POST of an extension":                       {"POST", "chrome-extension://example.com", "", false, false},
		"POST of the origin that is called asterisk": {"POST", "https://x.example", "cross-site", false, false},
		"HEAD":                          {"HEAD", "", "", false, true},
		"WebSocket of this origin":      {"WebSocket", "http://example.com", "", false, true},
		"WebSocket of a listed one":     {"WebSocket", "https://bar.example", "cross-site", false, true},
		"WebSocket of a stranger":       {"WebSocket", "https://evil.example", "", false, false},
		"WebSocket without Origin":      {"WebSocket", "", "", false, false},
		"WebSocket typed by nobody":     {"WebSocket", "", "none", false, false},
		"DELETE without Origin":         {"DELETE", "", "", false, false},
		"a Sec-Fetch-Site nobody knows": {"GET", "", "same-planet", false, false},
	} {
		t.Run(name, func(t *testing.T) {
			method, upgrade := tt.method, ""
			if method == "WebSocket" {
				method, upgrade = http.MethodGet, "websocket"
			}
			r := request(t, method, "/v1/stream", "Cookie", cookie)
			r.Header.Set("Upgrade", upgrade)
			if tt.origin != "" {
				r.Header.Set("Origin", tt.origin)
			}
			if tt.site != "" {
				r.Header.Set("Sec-Fetch-Site", tt.site)
			}
			if tt.tls {
				r.TLS = &tls.ConnectionState{}
			}
			_, err := v.Authenticate(r)
			if tt.good && err != nil {
				t.Fatal(err)
			}
			if !tt.good {
				refused(t, err, roxy.Unauthenticated, "Origin")
			}
		})
	}
	for _, header := range []string{"Origin", "Sec-Fetch-Site"} {
		value := map[string]string{"Origin": "https://bar.example", "Sec-Fetch-Site": "same-origin"}[header]
		_, err := v.Authenticate(request(t, "GET", "/", "Cookie", cookie, header, value, header, value))
		refused(t, err, roxy.Unauthenticated, "Origin")
	}
}

func TestATicketStandsForItsBuyerOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		revoked := ""
		v := openHS(t, Options{
			Policy:  Policy{Roles: map[string]roxy.Grant{"waiter": {Read: []roxy.Pattern{mustPattern(t, "orders/**")}}}},
			Revoked: func(id roxy.Identity) bool { return id.TokenID == revoked },
		})
		buyer, err := v.Verify(t.Context(), signHS(t, with(jwt.MapClaims{"tenant": "bar", "roles": "waiter", "jti": "j1"})))
		if err != nil {
			t.Fatal(err)
		}
		buy := func() string {
			t.Helper()
			text, expires, err := v.IssueTicket(buyer)
			if err != nil || len(text) != 43 || !expires.Equal(time.Now().Add(30*time.Second)) {
				t.Fatalf("%d characters, %s, %v", len(text), expires, err)
			}
			return text
		}
		use := func(ticket string) (roxy.Identity, error) {
			return v.Authenticate(request(t, http.MethodGet, "/v1/stream?ticket="+ticket))
		}

		ticket := buy()
		if ticket == buy() {
			t.Fatal("two tickets are equal")
		}
		id, err := use(ticket)
		if err != nil || id.User != "u7" || id.Tenant != "bar" || id.TokenID != "j1" || !id.Expires.Equal(buyer.Expires) || len(id.Grant.Read) != 1 {
			t.Fatalf("%+v, %v", id, err)
		}
		_, err = use(ticket)
		refused(t, err, roxy.Unauthenticated, "ticket", ticket)

		ticket = buy()
		time.Sleep(30*time.Second - 1)
		if _, err := use(ticket); err != nil {
			t.Fatal(err)
		}
		ticket = buy()
		time.Sleep(30 * time.Second)
		_, err = use(ticket)
		refused(t, err, roxy.Unauthenticated, "ticket", ticket)

		ticket = buy()
		v.SetPolicy(Policy{})
		if id, err := use(ticket); err != nil || len(id.Grant.Read) != 0 {
			t.Fatalf("the policy of the purchase still counts: %+v, %v", id, err)
		}
		ticket = buy()
		revoked = "j1"
		_, err = use(ticket)
		refused(t, err, roxy.Unauthenticated, "", ticket)
		_, _, err = v.IssueTicket(buyer)
		refused(t, err, roxy.Unauthenticated, "")
	})
}

func TestATicketDoesNotOutliveTheToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := openHS(t, Options{})
		id := roxy.Identity{User: "u7", Expires: time.Now().Add(10 * time.Second)}
		ticket, expires, err := v.IssueTicket(id)
		if err != nil || !expires.Equal(id.Expires) {
			t.Fatalf("%s, %v", expires, err)
		}
		time.Sleep(10 * time.Second)
		_, err = v.Authenticate(request(t, http.MethodGet, "/?ticket="+ticket))
		refused(t, err, roxy.Unauthenticated, "ticket", ticket)
		_, _, err = v.IssueTicket(id)
		refused(t, err, roxy.TokenExpired, "exp")
	})
}

func TestTicketsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := openHS(t, Options{})
		buyer := func(user string) roxy.Identity {
			return roxy.Identity{Tenant: "bar", User: user, Expires: time.Now().Add(time.Hour)}
		}
		for range maxUserTickets {
			if _, _, err := v.IssueTicket(buyer("greedy")); err != nil {
				t.Fatal(err)
			}
		}
		_, _, err := v.IssueTicket(buyer("greedy"))
		if p := refused(t, err, roxy.RateLimited, ""); p.RetryAfter <= 0 {
			t.Fatalf("%+v", p)
		}
		if _, _, err := v.IssueTicket(buyer("modest")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(ticketLife)
		if _, _, err := v.IssueTicket(buyer("greedy")); err != nil {
			t.Fatal(err)
		}
		if n := v.Stats().Tickets; n != 1 || len(v.tickets.users) != 1 || len(v.tickets.byHash) != 1 {
			t.Fatalf("%d tickets are kept, of %d users: those of before have expired", n, len(v.tickets.users))
		}
	})
}

func TestAllTicketsTogetherAreBounded(t *testing.T) {
	ts, now := newTickets(), time.Now()
	add := func(i int) error {
		user := string(rune('a'+i/maxUserTickets%26)) + strings.Repeat("x", i/maxUserTickets/26)
		return ts.add(&ticket{sha256.Sum256(fmt.Append(nil, i)), roxy.Identity{User: user}, now, now})
	}
	for i := range maxTickets {
		if err := add(i); err != nil {
			t.Fatal(i, err)
		}
	}
	if p := refused(t, add(maxTickets), roxy.Overloaded, ""); p.RetryAfter <= 0 {
		t.Fatalf("%+v", p)
	}
}

func FuzzAuthenticate(f *testing.F) {
	v := openHS(f, Options{Cookie: "roxy_token", Origins: []string{"https://bar.example"}})
	good := signHS(f, nil)
	f.Add("Bearer "+good, "", "", "", "")
	f.Add("", "roxy_token="+good, "https://bar.example", "cross-site", "")
	f.Add("Basic x", "roxy_token=\"x\"; roxy_token", "null", "none", "ticket=%zz;a=b&token=x")
	f.Add("", "", "http://example.com", "", "access_token="+good)
	f.Fuzz(func(t *testing.T, authorization, cookie, origin, site, query string) {
		r := &http.Request{Method: http.MethodPost, Host: "example.com", Header: http.Header{}, URL: &url.URL{Path: "/", RawQuery: query}}
		for name, value := range map[string]string{"Authorization": authorization, "Cookie": cookie, "Origin": origin, "Sec-Fetch-Site": site} {
			if value != "" {
				r.Header.Set(name, value)
			}
		}
		id, err := v.Authenticate(r)
		if err != nil {
			if p, ok := errors.AsType[*roxy.Problem](err); !ok || p.Code != roxy.Unauthenticated && p.Code != roxy.TokenInURL && p.Code != roxy.TokenExpired {
				t.Fatalf("%#v", err)
			}
			return
		}
		// Only somebody who sent the one good token came through, and not by the query.
		if id.User != "u7" || !strings.Contains(authorization+cookie, ".") || strings.Contains(query, good) {
			t.Fatalf("%+v from %q %q %q %q %q", id, authorization, cookie, origin, site, query)
		}
		if authorization == "" && origin == "" {
			t.Fatal("a cookie without Origin posted")
		}
	})
}

func BenchmarkAuthenticate(b *testing.B) {
	v := openHS(b, Options{})
	r := request(b, http.MethodPost, "/v1/events", "Authorization", "Bearer "+signHS(b, nil))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := v.Authenticate(r); err != nil {
			b.Fatal(err)
		}
	}
}
