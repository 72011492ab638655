package client

import (
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/roxyhub/roxy"
)

// maxProblemBytes bounds how much of a refusal is read.
const maxProblemBytes = 64 << 10

// problemOf reads a refusal: the hub's own words when resp carries problem+json, else what the status alone says (a
// proxy's page is not shown: it may hold anything).
func problemOf(resp *http.Response) *roxy.Problem {
	p := &roxy.Problem{Code: codeOf(resp.StatusCode), Detail: fmt.Sprintf("the answer was %d %s", resp.StatusCode, http.StatusText(resp.StatusCode))}
	var body struct {
		Code       roxy.Code `json:"code"`
		Detail     string    `json:"detail"`
		Title      string    `json:"title"`
		Member     string    `json:"member"`
		RetryAfter string    `json:"retryAfter"`
	}
	media, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if err == nil && media == "application/problem+json" {
		text, err := io.ReadAll(io.LimitReader(resp.Body, maxProblemBytes))
		if err == nil && json.Unmarshal(text, &body) == nil && body.Code != "" {
			p.Code, p.Member, p.Detail = body.Code, body.Member, body.Detail
			if p.Detail == "" {
				p.Detail = body.Title
			}
			if d, err := time.ParseDuration(body.RetryAfter); err == nil {
				p.RetryAfter = max(d, 0)
			}
		}
	}
	if d, ok := retryAfter(resp.Header.Get("Retry-After"), time.Now()); ok {
		p.RetryAfter = d
	}
	return p
}

// retryAfter reads the header of RFC 9110 §10.2.3: seconds, or a date.
func retryAfter(value string, now time.Time) (time.Duration, bool) {
	if seconds, err := strconv.ParseUint(value, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second, true
	}
	at, err := http.ParseTime(value)
	if err != nil {
		return 0, false
	}
	return max(at.Sub(now), 0), true
}

// codeOf is the code of an answer that does not name one.
func codeOf(status int) roxy.Code {
	switch status {
	case http.StatusUnauthorized:
		return roxy.Unauthenticated
	case http.StatusForbidden:
		return roxy.Forbidden
	case http.StatusNotFound:
		return roxy.NotFound
	case http.StatusMethodNotAllowed:
		return roxy.MethodNotAllowed
	case http.StatusNotAcceptable:
		return roxy.NotAcceptable
	case http.StatusRequestEntityTooLarge:
		return roxy.TooLarge
	case http.StatusUnsupportedMediaType:
		return roxy.UnsupportedMedia
	case http.StatusTooManyRequests:
		return roxy.RateLimited
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return roxy.Overloaded
	default:
		return roxy.Internal
	}
}
