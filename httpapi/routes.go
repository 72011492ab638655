package httpapi

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/roxyhub/roxy"
)

// route is one line of the table of contents.
type route struct {
	method, path string
	handler      handler
}

// routes is the table of contents of the public listener, in the order of docs/protocol.md.
func (a *api) routes() []route {
	return []route{
		{http.MethodPost, "/v1/tickets", a.ticket},
		{http.MethodPost, "/v1/sessions/{connection}/refresh", a.refresh},
		{http.MethodPost, "/v1/events", a.publish},
		{http.MethodGet, "/v1/events/{cursor}/receipts", a.receipts},
		{http.MethodGet, "/v1/entities", a.entities},
		{http.MethodGet, "/v1/entities/{topic...}", a.entity},
		{http.MethodPut, "/v1/entities/{topic...}", a.write},
		{http.MethodPatch, "/v1/entities/{topic...}", a.write},
		{http.MethodDelete, "/v1/entities/{topic...}", a.write},
		{http.MethodPost, "/v1/mutations", a.mutate},
		{http.MethodPost, "/v1/mutations/status", a.mutationStatus},
		{http.MethodDelete, "/v1/mutations/{id}", a.cancel},
		{http.MethodDelete, "/v1/mutations/status", a.cancel}, // a mutation may have this id, too
		{http.MethodGet, "/v1/presence", a.presence},
		{http.MethodPost, "/v1/acks", a.acknowledge},
		{http.MethodGet, "/v1/devices", a.devices},
		{http.MethodDelete, "/v1/devices/{device}", a.forget},
		{http.MethodGet, "/v1/stream", a.stream},
		{http.MethodGet, "/v1/ws", a.socket},
		{http.MethodGet, "/v1/ping", a.ping},
		{http.MethodGet, "/v1/openapi.json", a.openapi},
		{http.MethodGet, "/v1/asyncapi.json", a.asyncapi},
		{http.MethodGet, "/v1/sdk.js", a.sdk},
	}
}

// mux serves the routes. Whatever else is asked for is answered with a problem, too.
func (a *api) mux() http.Handler {
	mux := http.NewServeMux()
	paths := make(map[string]map[string]http.Handler) // by path and method: with methods in its patterns a mux takes …/status and …/{id} for conflicting
	methods := make(map[string][]string)
	add := func(path, method string, h http.Handler) {
		if paths[path] == nil {
			paths[path] = make(map[string]http.Handler)
		}
		paths[path][method] = h
		methods[path] = append(methods[path], method)
	}
	for _, r := range a.routes() {
		h := a.serve(r.handler)
		add(r.path, r.method, h)
		if r.method == http.MethodGet && !endless(r.path) {
			add(r.path, http.MethodHead, h)
		}
	}
	for path, handlers := range paths {
		other := a.serve(otherMethod(methods[path]))
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			if h, ok := handlers[r.Method]; ok {
				r.Pattern = r.Method + " " + path // for the log
				h.ServeHTTP(w, r)
				return
			}
			other(w, r)
		})
	}
	mux.Handle("/", a.serve(unknownPath))
	indirect := a.serve(indirectPath)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if isIndirect(r.URL.EscapedPath()) {
			indirect(w, r)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// isIndirect reports whether a mux would redirect to another spelling of path: a client that followed it would write to another
// entity than the one that it named, and many would write by GET.
func isIndirect(path string) bool {
	for segment := range strings.SplitSeq(strings.TrimPrefix(path, "/"), "/") {
		if segment == "." || segment == ".." {
			return true
		}
	}
	return strings.Contains(path, "//")
}

func indirectPath(_ *exchange, r *http.Request) error {
	if strings.HasPrefix(r.URL.Path, "/v1/entities/") {
		return &roxy.Problem{Code: roxy.InvalidTopic, Member: "topic", Detail: "the path holds an empty segment, . or .., which no topic has in a path"}
	}
	return &roxy.Problem{Code: roxy.NotFound, Detail: "the path holds an empty segment, . or .."}
}

// endless reports whether what is answered to GET at path has no end.
func endless(path string) bool { return path == "/v1/stream" || path == "/v1/ws" }

// otherMethod answers the methods that a path does not have: OPTIONS with those it has, the others with a refusal.
func otherMethod(allowed []string) handler {
	allow := strings.Join(append(slices.Clone(allowed), http.MethodOptions), ", ")
	return func(x *exchange, r *http.Request) error {
		x.Header().Set("Allow", allow)
		if r.Method == http.MethodOptions {
			x.WriteHeader(http.StatusNoContent)
			return nil
		}
		return &roxy.Problem{Code: roxy.MethodNotAllowed, Detail: fmt.Sprintf("%s is not one of %s", r.Method, allow)}
	}
}

func unknownPath(*exchange, *http.Request) error {
	return &roxy.Problem{Code: roxy.NotFound, Detail: "nothing is served at this path; the public listener serves /v1/…"}
}
