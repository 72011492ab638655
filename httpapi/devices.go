package httpapi

import (
	"net/http"
	"time"

	"github.com/roxyhub/roxy"
)

// device is one of the caller's durable subscribers, as it subscribed when it was last connected.
type device struct {
	Device     string    `json:"device"`
	Roles      []string  `json:"roles"`
	Patterns   []string  `json:"patterns"`
	Types      []string  `json:"types,omitempty"`
	Cursor     string    `json:"cursor"`
	Created    time.Time `json:"created"`
	Seen       time.Time `json:"seen"`
	Connected  bool      `json:"connected"`
	Connection string    `json:"connection,omitempty"`
	Transport  string    `json:"transport,omitempty"`
}

// devices answers GET /v1/devices with the caller's own.
func (a *api) devices(x *exchange, r *http.Request) error {
	who, err := a.authenticate(x, r)
	if err != nil {
		return err
	}
	all, live, err := a.Hub.Devices(r.Context(), who.Tenant)
	if err != nil {
		return err
	}
	own := []device{}
	for i := range all {
		d := &all[i]
		if d.User != who.User {
			continue
		}
		told := device{
			Device: d.Name, Roles: append([]string{}, d.Roles...), Patterns: make([]string, len(d.Patterns)), Types: d.Types,
			Cursor: d.Cursor.String(), Created: d.Created.UTC(), Seen: d.Seen.UTC(),
		}
		for j, p := range d.Patterns {
			told.Patterns[j] = p.String()
		}
		if c, ok := live[d.Name]; ok {
			told.Connected, told.Connection, told.Transport = true, c.ID, c.Transport
		}
		own = append(own, told)
	}
	return x.answerJSON(struct {
		Devices []device `json:"devices"`
	}{own})
}

// forget answers DELETE /v1/devices/{device}. It counts as an acknowledgement, which costs as much.
func (a *api) forget(x *exchange, r *http.Request) error {
	who, err := a.authenticate(x, r)
	if err != nil {
		return err
	}
	name := r.PathValue("device")
	if err := roxy.CheckDevice(name); err != nil {
		return &roxy.Problem{Code: roxy.InvalidParameter, Member: "device", Detail: err.Error()}
	}
	state, err := a.Limits.Acknowledge(who.Tenant, who.User)
	if err != nil {
		return err
	}
	if err := a.Hub.Forget(r.Context(), who, name); err != nil {
		return err
	}
	if state.Name != "" {
		setRateLimit(x.Header(), state)
	}
	x.Header().Set("Cache-Control", "no-store")
	x.WriteHeader(http.StatusNoContent)
	return nil
}
