package roxy

import "time"

// Code names a kind of refusal on the wire (docs/protocol.md §8). Package httpapi holds the table that gives each
// its HTTP status, title and remedy.
type Code string

// The codes.
const (
	Unauthenticated  Code = "unauthenticated"
	TokenExpired     Code = "token-expired"
	TokenInURL       Code = "token-in-url"
	Forbidden        Code = "forbidden"
	InvalidTopic     Code = "invalid-topic"
	InvalidEvent     Code = "invalid-event"
	InvalidMutation  Code = "invalid-mutation"
	InvalidParameter Code = "invalid-parameter"
	InvalidImport    Code = "invalid-import"
	TooLarge         Code = "too-large"
	NotFound         Code = "not-found"
	MethodNotAllowed Code = "method-not-allowed"
	UnsupportedMedia Code = "unsupported-media-type"
	NotAcceptable    Code = "not-acceptable"
	SchemaViolation  Code = "schema-violation"
	VersionConflict  Code = "version-conflict"
	NotEmpty         Code = "not-empty"
	KeyReused        Code = "key-reused"
	WasCancelled     Code = "cancelled"
	RateLimited      Code = "rate-limited"
	Overloaded       Code = "overloaded"
	NotReady         Code = "not-ready"
	Internal         Code = "internal"
)

// Problem is an error that the caller may be told, word for word: it holds no secret, no other tenant and no stack.
type Problem struct { //nolint:errname // RFC 9457's word
	Code       Code
	Member     string        // the member, parameter or header at fault, such as topic, [3].data or Authorization; "" when none is
	Detail     string        // what is wrong and with which value, in one sentence
	RetryAfter time.Duration // when trying again may help; 0 when unknown or never
	Limit      *LimitState   // the rate limit that refused, for RateLimit headers; nil otherwise
	Conflict   *Conflict     // of VersionConflict; nil otherwise
	Violations []Violation   // of SchemaViolation
	Err        error         // the cause, for the log only
}

// LimitState is a rate limit as its caller sees it (draft-ietf-httpapi-ratelimit-headers).
type LimitState struct {
	Name      string        // policy name, such as publish
	Quota     int           // permits for each Window
	Window    time.Duration // how long a full refill takes
	Remaining int
}

// Sentinels for errors.Is: a *Problem is any other one of the same Code.
var (
	ErrOverloaded = &Problem{Code: Overloaded}
	ErrNotFound   = &Problem{Code: NotFound}
	ErrKeyReused  = &Problem{Code: KeyReused}
	ErrConflict   = &Problem{Code: VersionConflict}
	ErrCancelled  = &Problem{Code: WasCancelled}
)

// Error returns the detail behind the code.
func (p *Problem) Error() string {
	s := string(p.Code)
	if p.Detail != "" {
		s += ": " + p.Detail
	}
	if p.Err != nil {
		s += ": " + p.Err.Error()
	}
	return s
}

// Unwrap returns the cause.
func (p *Problem) Unwrap() error { return p.Err }

// Is reports whether target is a *Problem of the same code.
func (p *Problem) Is(target error) bool {
	t, ok := target.(*Problem)
	return ok && t.Code == p.Code
}
