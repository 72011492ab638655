package httpapi

import (
	"log/slog"
	"net/http"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/roxyhub/roxy"
)

// bodyTimeout is how long a request may take to send its body: maxBody at 280 kB/s. It cannot be the server's
// ReadTimeout, which would end streams too.
const bodyTimeout = 30 * time.Second

// handler answers one request: through x, or by returning an error with nothing written.
type handler func(x *exchange, r *http.Request) error

// exchange is one request on its way to its answer, with what the log is to say of it.
type exchange struct {
	http.ResponseWriter
	status      int
	code        roxy.Code // of the problem it was answered with; "" when with none
	tenant      string
	user        string
	remote      string // the client's address; "" before it is known who asks
	correlation string
}

// Unwrap lets http.ResponseController reach the connection.
func (x *exchange) Unwrap() http.ResponseWriter { return x.ResponseWriter }

// WriteHeader remembers the status.
func (x *exchange) WriteHeader(status int) {
	x.status = status
	x.ResponseWriter.WriteHeader(status)
}

// readUntil bounds the reading of the body, also by net/http when a handler left it unread. Writers that know no
// deadlines are no sockets.
func (x *exchange) readUntil(t time.Time) {
	_ = http.NewResponseController(x.ResponseWriter).SetReadDeadline(t)
}

// answer sends JSON with status 200.
func (x *exchange) answer(body []byte) { x.answerWith(http.StatusOK, body) }

// answerWith sends JSON.
func (x *exchange) answerWith(status int, body []byte) {
	h := x.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	x.WriteHeader(status)
	_, _ = x.Write(body) //nolint:gosec // JSON by its media type, and nosniff; an error means that nobody waits for it
}

// answerJSON sends v.
func (x *exchange) answerJSON(v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	x.answer(body)
	return nil
}

// serve makes h answer requests: its errors become problems here and nowhere else.
func (a *api) serve(h handler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		x := &exchange{ResponseWriter: w}
		if isSurplus(r) {
			w.Header().Set("Connection", "close")
		}
		if r.Body != http.NoBody {
			x.readUntil(began.Add(bodyTimeout))
		}
		if err := h(x, r); err != nil {
			a.refused(x, r, Write(x, r, err))
		}
		if a.Logger.Enabled(r.Context(), slog.LevelDebug) {
			a.Logger.LogAttrs(r.Context(), slog.LevelDebug, "request", append(x.attributes(r), slog.Duration("took", time.Since(began)))...)
		}
	}
}

// refused has the log and the tenant's audit know why r was refused. What broke on our side is an operator's business; overload is not said
// line by line, which would add to it.
func (a *api) refused(x *exchange, r *http.Request, p *roxy.Problem) {
	x.code = rowOf(p.Code).code
	if x.tenant != "" {
		a.Hub.NoteRefusal(roxy.Identity{Tenant: x.tenant, User: x.user}, x.remote, r.Pattern, x.correlation, p)
	}
	if x.code == roxy.Internal || x.code == roxy.NotReady {
		a.Logger.LogAttrs(r.Context(), slog.LevelError, "request failed", append(x.attributes(r), slog.Any("error", p))...)
	}
}

// attributes are what the log says of a request. The path is its pattern and the query is left out: both may hold
// what is for nobody else, such as tickets.
func (x *exchange) attributes(r *http.Request) []slog.Attr {
	return []slog.Attr{
		slog.String("method", r.Method), slog.String("route", r.Pattern), slog.Int("status", x.status), slog.String("code", string(x.code)),
		slog.String("tenant", x.tenant), slog.String("user", x.user), slog.String("correlation", x.correlation),
	}
}

// authenticate returns who asks, and has the log know.
func (a *api) authenticate(x *exchange, r *http.Request) (roxy.Identity, error) {
	who, err := a.Auth.Authenticate(r)
	if err != nil {
		return roxy.Identity{}, err
	}
	x.tenant, x.user, x.remote = who.Tenant, who.User, clientIP(r, a.TrustedProxies).String()
	return who, nil
}
