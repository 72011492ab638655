package httpapi

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/rs/cors"
)

// preflightAge is how long a browser may keep the answer to a preflight: as soon as that, a page learns that its
// origin was taken off the list.
const preflightAge = 10 * time.Minute

// CORS is the allow-list of origins whose pages may call the hub. The zero CORS lists none.
type CORS struct {
	// Origins are written as browsers send them, such as https://bar.example or http://localhost:5173. The only
	// wildcard is a lone *, every origin, which Credentials exclude.
	Origins []string
	// Credentials lets listed origins send the cookie.
	Credentials bool
}

// check returns an error that names the origin at fault.
func (c CORS) check() error {
	for i, origin := range c.Origins {
		if origin == "*" {
			if c.Credentials {
				return fmt.Errorf("cors.origins[%d]: * is every origin and cannot go with credentials: list the origins", i)
			}
			continue
		}
		u, err := url.Parse(origin)
		if err != nil || u.Host == "" || u.Scheme+"://"+u.Host != origin || strings.Contains(origin, "*") {
			return fmt.Errorf("cors.origins[%d]: %q is not an origin such as https://bar.example", i, origin)
		}
	}
	return nil
}

// wrap answers preflights and lets pages of the listed origins read the answers of next.
func (c CORS) wrap(next http.Handler) http.Handler {
	if len(c.Origins) == 0 {
		return next // to rs/cors an empty list would mean every origin
	}
	return cors.New(cors.Options{
		AllowedOrigins:   c.Origins,
		AllowCredentials: c.Credentials,
		AllowedMethods:   []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete},
		AllowedHeaders: []string{
			"Accept", "Authorization", "Cache-Control", "Content-Type", "Idempotency-Key", "If-Match", "If-None-Match", "Last-Event-ID",
			"Roxy-Base", "Roxy-Client", "Roxy-Correlation", "Roxy-Device", "Roxy-Seq", "Roxy-Type",
			"traceparent", "tracestate",
			"ce-specversion", "ce-id", "ce-source", "ce-type", "ce-subject", "ce-time", "ce-dataschema",
			"ce-traceparent", "ce-correlationid", "ce-roxyroles", "ce-roxyusers", "ce-roxyttl", "ce-roxyack",
		},
		ExposedHeaders: []string{"Allow", "ETag", "RateLimit", "RateLimit-Policy", "Retry-After", "WWW-Authenticate"},
		MaxAge:         int(preflightAge.Seconds()),
	}).Handler(next)
}
