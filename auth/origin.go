package auth

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// cookieCounts reports whether the cookie of r shows what its user wants. Browsers add cookies to requests that any
// page causes; which page, Origin and Sec-Fetch-Site tell, and pages cannot forge these.
//
//	Origin                listed                                          yes
//	Sec-Fetch-Site        same-origin, same-site                          yes
//	                      none (typed, a bookmark)                        GET and HEAD
//	                      cross-site                                      no
//	                      absent (plain http, old browsers, no browser)   Origin is this host; or no Origin, for GET and HEAD
//
// GET and HEAD change nothing and CORS keeps other pages from reading the answer; a same-origin EventSource sends no
// Origin with them. All else needs one, a WebSocket too, which publishes and which CORS does not guard: every browser
// sends it there.
func (v *Verifier) cookieCounts(r *http.Request) bool {
	origins, sites := r.Header.Values("Origin"), r.Header.Values("Sec-Fetch-Site")
	if len(origins) > 1 || len(sites) > 1 {
		return false
	}
	var origin, site string
	if len(origins) == 1 {
		origin = origins[0]
	}
	if len(sites) == 1 {
		site = sites[0]
	}
	safe := (r.Method == http.MethodGet || r.Method == http.MethodHead) && r.Header.Get("Upgrade") == ""
	if origin != "" && slices.Contains(v.opts.Origins, origin) {
		return true
	}
	switch site {
	case "same-origin", "same-site":
		return origin != "" || safe
	case "none":
		return origin == "" && safe
	case "":
		if origin == "" {
			return safe
		}
		return sameOrigin(origin, r)
	default:
		return false
	}
}

// sameOrigin reports whether origin is that of r itself. Behind a proxy that ends TLS the scheme is not known, and the
// host has to do.
func sameOrigin(origin string, r *http.Request) bool {
	u, err := url.Parse(origin)
	if err != nil || u.Host == "" || u.Scheme != "https" && (u.Scheme != "http" || r.TLS != nil) {
		return false
	}
	return strings.EqualFold(u.Host, r.Host)
}
