package client

import (
	"cmp"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/roxyhub/roxy"
)

// maxProblemBytes bounds how much of a refusal is read; that of a conflict holds an entity.
const maxProblemBytes = 4 << 20

// problemOf reads a refusal: the hub's own words when resp carries problem+json, else what the status alone says (a
// proxy's page is not shown: it may hold anything).
func problemOf(resp *http.Response) *roxy.Problem {
	p := &roxy.Problem{Code: codeOf(resp.StatusCode), Detail: fmt.Sprintf("the answer was %d %s", resp.StatusCode, http.StatusText(resp.StatusCode))}
	media, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if err == nil && media == "application/problem+json" {
		text, err := io.ReadAll(io.LimitReader(resp.Body, maxProblemBytes))
		if err == nil {
			if told := decodeProblem(text); told != nil {
				p = told
			}
		}
	}
	if d, ok := retryAfter(resp.Header.Get("Retry-After"), time.Now()); ok {
		p.RetryAfter = d
	}
	return p
}

// decodeProblem reads a problem object (docs/protocol.md §8); nil for what is none.
func decodeProblem(text []byte) *roxy.Problem {
	var body struct {
		Code       roxy.Code      `json:"code"`
		Detail     string         `json:"detail"`
		Title      string         `json:"title"`
		Member     string         `json:"member"`
		RetryAfter string         `json:"retryAfter"`
		Current    jsontext.Value `json:"current"`
		Fields     []string       `json:"fields"`
		Violations []struct {
			Pointer string `json:"pointer"`
			Keyword string `json:"keyword"`
			Message string `json:"message"`
		} `json:"violations"`
	}
	if valid := json.Unmarshal(text, &body) == nil; !valid || body.Code == "" {
		return nil
	}
	p := &roxy.Problem{Code: body.Code, Member: body.Member, Detail: cmp.Or(body.Detail, body.Title)}
	if d, err := time.ParseDuration(body.RetryAfter); err == nil {
		p.RetryAfter = max(d, 0)
	}
	if p.Code == roxy.VersionConflict {
		p.Conflict = &roxy.Conflict{Fields: body.Fields}
		if current, _, err := decodeEntity(body.Current); err == nil {
			p.Conflict.Current = &current
		}
	}
	for _, v := range body.Violations {
		p.Violations = append(p.Violations, roxy.Violation(v))
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
