package admin

import (
	"net/http"
	"time"

	"github.com/roxyhub/roxy"
)

// device is one durable subscriber in the answer to GET /v1/admin/devices, as it subscribed when it was last connected.
type device struct {
	Device     string    `json:"device"`
	User       string    `json:"user"`
	Roles      []string  `json:"roles"`
	Patterns   []string  `json:"patterns"`
	Types      []string  `json:"types,omitempty"`
	Cursor     string    `json:"cursor"`
	Created    time.Time `json:"created"`
	Seen       time.Time `json:"seen"`
	Connected  bool      `json:"connected"` // to this node
	Connection string    `json:"connection,omitempty"`
	Transport  string    `json:"transport,omitempty"`
}

// devices answers GET /v1/admin/devices: all that are known of the caller's tenant, sorted by name.
func (a *api) devices(w http.ResponseWriter, r *http.Request, who roxy.Identity) error {
	known, live, err := a.Hub.Devices(r.Context(), who.Tenant)
	if err != nil {
		return err
	}
	list := make([]device, len(known))
	for i := range known {
		d := &known[i]
		list[i] = device{
			Device: d.Name, User: d.User, Roles: append([]string{}, d.Roles...), Patterns: make([]string, len(d.Patterns)), Types: d.Types,
			Cursor: d.Cursor.String(), Created: d.Created.UTC(), Seen: d.Seen.UTC(),
		}
		for j, p := range d.Patterns {
			list[i].Patterns[j] = p.String()
		}
		if c, ok := live[d.Name]; ok {
			list[i].Connected, list[i].Connection, list[i].Transport = true, c.ID, c.Transport
		}
	}
	return answer(w, struct {
		Devices []device `json:"devices"`
	}{list})
}
