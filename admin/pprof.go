package admin

import (
	"net/http"
	"net/http/pprof" // registers on http.DefaultServeMux, which nothing of ours serves
	runtime "runtime/pprof"

	"github.com/roxyhub/roxy"
)

// profile answers GET /debug/pprof/: the list of profiles, or one of them. The command line, which package pprof would
// tell as well, is left out: it may hold what is for nobody else.
func (a *api) profile(w http.ResponseWriter, r *http.Request, _ roxy.Identity) error {
	name := r.PathValue("profile")
	switch {
	case name == "profile":
		pprof.Profile(w, r)
	case name == "trace":
		pprof.Trace(w, r)
	case name == "symbol":
		pprof.Symbol(w, r)
	case name == "" || runtime.Lookup(name) != nil:
		pprof.Index(w, r)
	default:
		return &roxy.Problem{Code: roxy.NotFound, Member: "profile", Detail: "no profile has this name; GET /debug/pprof/ lists them"}
	}
	return nil
}
