package admin

import (
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/auth"
)

// maxOver bounds how long a drain may be spread, as drain.over of the configuration.
const maxOver = time.Hour

// draining is the answer to POST /v1/admin/drain.
type draining struct {
	Streams int    `json:"streams"` // still live
	Over    string `json:"over"`    // what their goodbyes are spread over at most
}

// drain answers POST /v1/admin/drain?over=30s: the hub takes no more connections, tells its streams to go, and ends.
// Repeating it tells how many are left. It concerns all tenants, so an administrator of the default one is asked for.
func (a *api) drain(w http.ResponseWriter, r *http.Request, who roxy.Identity) error {
	if who.Tenant != auth.DefaultTenant {
		return &roxy.Problem{Code: roxy.Forbidden, Detail: fmt.Sprintf("a drain ends the streams of all tenants: it takes an administrator of the tenant %q, that of tokens without a tenant", auth.DefaultTenant)}
	}
	over := a.DrainOver
	if query := r.URL.Query(); query.Has("over") {
		d, err := time.ParseDuration(query.Get("over"))
		if err != nil || d < 0 || d > maxOver {
			return invalid("over", "over: want a duration up to 1h, such as 30s", err)
		}
		over = d
	}
	streams, leaving := a.Hub.Leaving()
	if !leaving {
		a.Logger.LogAttrs(r.Context(), slog.LevelInfo, "drain asked for",
			slog.String("by", who.User), slog.Int("streams", streams), slog.Duration("over", over))
		a.Hub.NoteAct(who, remoteOf(r), "drain", fmt.Sprintf("%d streams over %s", streams, over))
		a.Drain(over)
	}
	return answer(w, draining{streams, over.String()})
}
