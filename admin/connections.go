package admin

import (
	"net/http"
	"time"

	"github.com/roxyhub/roxy"
)

// connection is one live stream in the answer to GET /v1/admin/connections.
type connection struct {
	ID        string    `json:"id"`
	User      string    `json:"user"`
	Roles     []string  `json:"roles"`
	Transport string    `json:"transport"`
	Remote    string    `json:"remote"`
	Patterns  []string  `json:"patterns"`
	Since     time.Time `json:"since"`
	Expires   time.Time `json:"expires"`
	Cursor    string    `json:"cursor"`
	Pending   int64     `json:"pending"` // bytes waiting for it
}

// connections answers GET /v1/admin/connections: the live streams of the caller's tenant on this node, oldest first.
func (a *api) connections(w http.ResponseWriter, _ *http.Request, who roxy.Identity) error {
	live := a.Hub.Connections(who.Tenant)
	list := make([]connection, len(live))
	for i, c := range live {
		list[i] = connection{
			ID: c.ID, User: c.User, Roles: c.Roles, Transport: c.Transport, Remote: c.Remote, Patterns: c.Patterns,
			Since: c.Since.UTC(), Expires: c.Expires.UTC(), Cursor: c.Cursor, Pending: c.Pending,
		}
	}
	return answer(w, struct {
		Connections []connection `json:"connections"`
	}{list})
}
