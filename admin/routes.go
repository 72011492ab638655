package admin

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"

	"github.com/roxyhub/roxy"
)

// route is one line of the table of contents. Its handler has answered when it returns nil, and written nothing
// otherwise.
type route struct {
	method, path string
	handler      func(w http.ResponseWriter, r *http.Request) error
}

// routes is the table of contents of the operator's listener.
func (a *api) routes() []route {
	return []route{
		{http.MethodGet, "/healthz", a.healthz},
		{http.MethodGet, "/readyz", a.readyz},
		{http.MethodGet, "/metrics", a.metrics},
		{http.MethodGet, "/debug/pprof/{profile...}", a.forAdministrators(a.profile)},
		{http.MethodGet, "/v1/admin/stats", a.forAdministrators(a.stats)},
		{http.MethodGet, "/v1/admin/connections", a.forAdministrators(a.connections)},
		{http.MethodGet, "/v1/admin/devices", a.forAdministrators(a.devices)},
		{http.MethodPost, "/v1/admin/revocations", a.forAdministrators(a.revoke)},
		{http.MethodPost, "/v1/admin/drain", a.forAdministrators(a.drain)},
		{http.MethodGet, "/v1/admin/audit", a.forAdministrators(a.audit)},
		{http.MethodGet, "/v1/admin/trace/{correlation...}", a.forAdministrators(a.trace)},
		{http.MethodGet, "/v1/admin/export", a.forAdministrators(a.export)},
		{http.MethodGet, "/v1/admin/import", a.forAdministrators(a.importState)},
		{http.MethodPost, "/v1/admin/import", a.forAdministrators(a.importBatch)},
		{http.MethodDelete, "/v1/admin/import", a.forAdministrators(a.abandonImport)},
	}
}

// mux serves the routes. Whatever else is asked for is answered with a problem, too.
func (a *api) mux() http.Handler {
	mux := http.NewServeMux()
	handle := func(pattern string, h func(w http.ResponseWriter, r *http.Request) error) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			if err := h(w, r); err != nil {
				a.refuse(w, r, err)
			}
		})
	}
	allowed := make(map[string][]string) // methods, by path
	for _, r := range a.routes() {
		handle(r.method+" "+r.path, r.handler)
		allowed[r.path] = append(allowed[r.path], r.method)
		if r.method == http.MethodGet {
			allowed[r.path] = append(allowed[r.path], http.MethodHead)
		}
	}
	for path, methods := range allowed {
		handle(path, otherMethod(methods))
	}
	handle("/", unknownPath)
	return mux
}

// forAdministrators asks for an administrator's token before h is called with who it belongs to.
func (a *api) forAdministrators(h func(w http.ResponseWriter, r *http.Request, who roxy.Identity) error) func(http.ResponseWriter, *http.Request) error {
	return func(w http.ResponseWriter, r *http.Request) error {
		who, err := a.administrator(r)
		if err == nil {
			err = h(w, r, who)
		}
		if p, ok := errors.AsType[*roxy.Problem](err); ok && who.Tenant != "" {
			a.Hub.NoteRefusal(who, remoteOf(r), r.Pattern, "", p)
		}
		return err
	}
}

// remoteOf returns the address that r comes from.
func remoteOf(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return ""
	}
	return host
}

// otherMethod answers the methods that a path does not have: OPTIONS with those it has, the others with a refusal.
func otherMethod(allowed []string) func(http.ResponseWriter, *http.Request) error {
	allow := strings.Join(append(slices.Clone(allowed), http.MethodOptions), ", ")
	return func(w http.ResponseWriter, r *http.Request) error {
		w.Header().Set("Allow", allow)
		if r.Method == http.MethodOptions {
			w.WriteHeader(http.StatusNoContent)
			return nil
		}
		return &roxy.Problem{Code: roxy.MethodNotAllowed, Detail: fmt.Sprintf("%s is not one of %s", r.Method, allow)}
	}
}

func unknownPath(http.ResponseWriter, *http.Request) error {
	return &roxy.Problem{Code: roxy.NotFound, Detail: "nothing is served at this path of the operator's listener"}
}

// answer sends v as JSON with status 200.
func answer(w http.ResponseWriter, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("admin: encode the answer: %w", err)
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write(body) // whoever went away needs no answer
	return nil
}
