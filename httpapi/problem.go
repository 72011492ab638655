package httpapi

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/roxyhub/roxy"
)

// problemDocs is the page whose anchors are the codes: docs/problems.md, which a test holds to the table below.
const problemDocs = "https://roxyhub.dev/problems#"

// row is all that is the same for every refusal of one code.
type row struct {
	code   roxy.Code
	status int
	title  string
	remedy string        // what the caller can do about it
	retry  time.Duration // when to try again if the problem does not say; 0 for refusals that repetition does not cure
}

// table has one row for each roxy.Code. Whoever adds a code adds its row here and nowhere else.
func table() []row {
	return []row{
		{roxy.Unauthenticated, http.StatusUnauthorized, "Not authenticated", "Send a valid token: Authorization: Bearer TOKEN, the cookie, or a fresh ticket.", 0},
		{roxy.TokenExpired, http.StatusUnauthorized, "The token has expired", "Fetch a new token and repeat the request.", 0},
		{roxy.TokenInURL, http.StatusBadRequest, "A token does not belong in a URL", "Exchange the token for a ticket by POST /v1/tickets and put that into ?ticket=.", 0},
		{roxy.Forbidden, http.StatusForbidden, "Not allowed", "Ask whoever issues the token or keeps the policy for the grant.", 0},
		{roxy.InvalidTopic, http.StatusBadRequest, "The topic is not valid", "Use 1 to 16 segments of A-Z a-z 0-9 _ . ~ : @ - that do not begin with roxy/.", 0},
		{roxy.InvalidEvent, http.StatusBadRequest, "The event is not valid", "Correct the member at fault.", 0},
		{roxy.InvalidMutation, http.StatusBadRequest, "The mutation is not valid", "Correct the member at fault.", 0},
		{roxy.InvalidParameter, http.StatusBadRequest, "A parameter is not valid", "Correct the parameter or header at fault.", 0},
		{roxy.InvalidImport, http.StatusBadRequest, "The export cannot be taken in", "Export again: the file was cut or changed.", 0},
		{roxy.TooLarge, http.StatusRequestEntityTooLarge, "Too large", "Send less in one event or request; keep large contents elsewhere and publish where they are.", 0},
		{roxy.NotFound, http.StatusNotFound, "Not found", "Check the path and the identifiers in it.", 0},
		{roxy.MethodNotAllowed, http.StatusMethodNotAllowed, "The method is not allowed here", "Use one of the methods of the Allow header.", 0},
		{roxy.UnsupportedMedia, http.StatusUnsupportedMediaType, "The media type is not supported", "Send JSON in UTF-8, as it is, with the Content-Type that the detail names.", 0},
		{roxy.NotAcceptable, http.StatusNotAcceptable, "Nothing acceptable to answer with", "Send Accept: text/event-stream, or no Accept at all.", 0},
		{roxy.SchemaViolation, http.StatusUnprocessableEntity, "The schema is violated", "Correct what the violations point at; GET /v1/openapi.json has the schemas.", 0},
		{roxy.VersionConflict, http.StatusConflict, "Somebody else changed it meanwhile", "Look at current, decide what is wanted by now, and send that with the new version.", 0},
		{roxy.NotEmpty, http.StatusConflict, "The tenant holds something else", "Import into a hub where the tenant was never written to, or go on with the export that was begun.", 0},
		{roxy.KeyReused, http.StatusUnprocessableEntity, "The idempotency key was used for something else", "Use a new key for something new, and the same body with the same key.", 0},
		{roxy.WasCancelled, http.StatusGone, "The mutation was cancelled", "Send it with a new id if it is wanted after all.", 0},
		{roxy.RateLimited, http.StatusTooManyRequests, "Too many", "Wait for Retry-After, then go on more slowly.", time.Second},
		{roxy.Overloaded, http.StatusServiceUnavailable, "The hub is overloaded", "Wait for Retry-After, then repeat the request with the same idempotency keys.", 2 * time.Second},
		{roxy.NotReady, http.StatusServiceUnavailable, "The hub is not ready", "Wait for Retry-After, then repeat the request.", 2 * time.Second},
		{roxy.Internal, http.StatusInternalServerError, "The hub failed", "Report it with the time of the request; the cause is in the hub's log.", 0},
	}
}

// rowOf returns the row of code; that of Internal for a code without one.
func rowOf(code roxy.Code) row {
	var internal row
	for _, r := range table() {
		if r.code == code {
			return r
		}
		internal = r // the last row
	}
	return internal
}

// problemBody is a refusal on the wire (RFC 9457). Member order is the reader's: what, why, what to do.
type problemBody struct {
	Type       string    `json:"type"`
	Title      string    `json:"title"`
	Status     int       `json:"status"`
	Detail     string    `json:"detail,omitempty"`
	Code       roxy.Code `json:"code"`
	Member     string    `json:"member,omitempty"`
	Remedy     string    `json:"remedy,omitempty"`
	RetryAfter string    `json:"retryAfter,omitempty"`

	Current    jsontext.Value `json:"current,omitzero"`     // of a conflict: {topic, version, data, time}
	Fields     []string       `json:"fields,omitempty"`     // that clash
	Violations []violation    `json:"violations,omitempty"` // of a schema

	wait time.Duration // RetryAfter
}

// describe returns what is told of p.
func describe(p *roxy.Problem) problemBody {
	row := rowOf(p.Code)
	body := problemBody{
		Type: problemDocs + string(row.code), Title: row.title, Status: row.status,
		Detail: p.Detail, Code: row.code, Member: p.Member, Remedy: row.remedy,
	}
	if wait := retryAfter(p.RetryAfter, row.retry); wait > 0 {
		body.RetryAfter, body.wait = wait.String(), wait
	}
	if c := p.Conflict; c != nil {
		body.Fields = c.Fields
		if c.Current != nil {
			body.Current = appendEntity(nil, c.Current)
		}
	}
	for _, v := range p.Violations {
		body.Violations = append(body.Violations, violation(v))
	}
	return body
}

// violation is one place where a value breaks its schema.
type violation struct {
	Pointer string `json:"pointer"`
	Keyword string `json:"keyword"`
	Message string `json:"message"`
}

// Describe returns p as it is told, a JSON object.
func Describe(p *roxy.Problem) []byte { return describe(p).encode() }

// precondition is a conflict with a guard of the request's headers, which has a status of its own (RFC 9110 §13.2).
type precondition struct{ error }

// Unwrap returns the problem.
func (p precondition) Unwrap() error { return p.error }

// encode returns b as JSON.
func (b problemBody) encode() []byte {
	// A parameter's name may hold any bytes; they are told with U+FFFD in place of what is not UTF-8.
	text, err := json.Marshal(b, jsontext.AllowInvalidUTF8(true))
	if err != nil {
		panic("BUG: a problem of strings does not encode: " + err.Error())
	}
	return text
}

// Write answers r with the problem behind err and returns that problem. What is not a *roxy.Problem is told as
// internal, without its text: the caller of Write logs the Err of what is returned.
func Write(w http.ResponseWriter, r *http.Request, err error) *roxy.Problem {
	p := problemOf(err)
	body := describe(p)
	if _, ok := errors.AsType[precondition](err); ok {
		body.Status = http.StatusPreconditionFailed
	}
	h := w.Header()
	if body.wait > 0 {
		h.Set("Retry-After", strconv.Itoa(int(body.wait/time.Second)))
	}
	if body.Status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", challenge(r, body.Code))
	}
	if p.Limit != nil {
		setRateLimit(h, *p.Limit)
	}
	h.Set("Content-Type", "application/problem+json")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(body.Status)
	_, _ = w.Write(body.encode()) // whoever went away needs no answer
	return p
}

// problemOf maps every error to what may be told of it.
func problemOf(err error) *roxy.Problem {
	if p, ok := errors.AsType[*roxy.Problem](err); ok {
		return p
	}
	if tooLarge, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return &roxy.Problem{
			Code:   roxy.TooLarge,
			Detail: "the body is larger than " + strconv.FormatInt(tooLarge.Limit, 10) + " bytes",
			Err:    err,
		}
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return &roxy.Problem{
			Code:   roxy.Overloaded,
			Detail: "the request was given up before its outcome was known; repeat it with the same idempotency key",
			Err:    err,
		}
	}
	return &roxy.Problem{Code: roxy.Internal, Detail: "the cause is in the hub's log", Err: err}
}

// retryAfter returns whole seconds, at least as long as was asked for and up to half of that and a second longer:
// clients that were refused together are not to come back together.
func retryAfter(asked, otherwise time.Duration) time.Duration {
	if asked <= 0 {
		asked = otherwise
	}
	if asked <= 0 {
		return 0
	}
	seconds := int64((asked + time.Second - 1) / time.Second)
	seconds += rand.Int64N(seconds/2 + 2) //nolint:gosec // spreads load, guards nothing
	return time.Duration(seconds) * time.Second
}

// challenge is the WWW-Authenticate of a 401. It names an error only when r carried a token (RFC 6750 §3.1).
func challenge(r *http.Request, code roxy.Code) string {
	const realm = `Bearer realm="roxy"`
	_, sent := r.Header["Authorization"]
	switch {
	case code == roxy.TokenExpired:
		return realm + `, error="invalid_token", error_description="the token has expired"`
	case sent:
		return realm + `, error="invalid_token"`
	default:
		return realm
	}
}
