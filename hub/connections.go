package hub

import (
	"crypto/rand"
	"slices"
	"strings"
	"time"

	"github.com/roxyhub/roxy"
)

// Connection is one live stream as an operator sees it.
type Connection struct {
	ID        string
	User      string
	Roles     []string
	Transport string
	Remote    string
	Patterns  []string
	Since     time.Time
	Expires   time.Time // of the identity
	Cursor    string
	Pending   int64 // bytes waiting for it
}

// Connections lists the tenant's live streams, oldest first.
func (h *Hub) Connections(tenant string) []Connection {
	h.mu.Lock()
	var live []*stream
	for _, st := range h.streams {
		if st.sub.Identity.Tenant == tenant {
			live = append(live, st)
		}
	}
	h.mu.Unlock()
	list := make([]Connection, len(live))
	for i, st := range live {
		list[i] = st.describe()
	}
	slices.SortFunc(list, func(a, b Connection) int { return a.Since.Compare(b.Since) })
	return list
}

func (st *stream) describe() Connection {
	st.mu.Lock()
	defer st.mu.Unlock()
	c := Connection{
		ID: st.sub.Connection, User: st.sub.Identity.User, Roles: st.sub.Identity.Roles, Transport: st.sub.Transport, Remote: st.sub.Remote, Since: st.since,
	}
	for _, p := range st.sub.Patterns {
		c.Patterns = append(c.Patterns, p.String())
	}
	c.Expires = st.expires
	c.Cursor = st.cursor(st.position).String()
	if st.reader != nil {
		c.Pending = st.reader.Pending()
	}
	return c
}

// Refresh lets a live connection outlast its token: fresh is the identity of a new one, of the same tenant, user and
// roles, that may still read all that the connection subscribes. Errors: NotFound (also for another user's connection:
// its existence is nobody's business), Forbidden.
func (h *Hub) Refresh(connection string, fresh roxy.Identity) error {
	h.mu.Lock()
	st := h.streams[connection]
	h.mu.Unlock()
	if st == nil || st.sub.Identity.Tenant != fresh.Tenant || st.sub.Identity.User != fresh.User {
		return &roxy.Problem{Code: roxy.NotFound, Member: "connection", Detail: "no live connection of yours has this id"}
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	if !slices.Equal(st.sub.Identity.Roles, fresh.Roles) {
		return &roxy.Problem{Code: roxy.Forbidden, Member: "connection", Detail: "the fresh token's roles differ from the connection's: connect anew"}
	}
	sub := st.sub
	sub.Identity = fresh
	if err := h.admits(&sub); err != nil {
		return err
	}
	st.expires, st.token = fresh.Expires, &fresh
	if st.awake != nil { // a parked one is asked for the time before it sends
		select {
		case st.awake.refresh <- struct{}{}:
		default:
		}
	}
	return nil
}

// Identity returns whose live connection this is, by the token of its last refresh.
func (h *Hub) Identity(connection string) (roxy.Identity, bool) {
	h.mu.Lock()
	st := h.streams[connection]
	h.mu.Unlock()
	if st == nil {
		return roxy.Identity{}, false
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	return *st.token, true
}

// Regrant ends the streams whose identity, under the grant that it has now, may no longer read what they subscribe.
// grant is called for each live stream.
func (h *Hub) Regrant(grant func(roxy.Identity) roxy.Grant) {
	h.endWhere(Revoked, func(patterns []roxy.Pattern, token roxy.Identity) bool {
		g := grant(token)
		return slices.ContainsFunc(patterns, func(p roxy.Pattern) bool { return !g.MayRead(p) })
	})
}

// endWhere ends the streams for which over says so.
func (h *Hub) endWhere(why Reason, over func(patterns []roxy.Pattern, token roxy.Identity) bool) {
	h.mu.Lock()
	live := make([]*stream, 0, len(h.streams))
	for _, st := range h.streams {
		live = append(live, st)
	}
	h.mu.Unlock()
	for _, st := range live {
		st.mu.Lock()
		patterns, token := st.sub.Patterns, *st.token
		st.mu.Unlock()
		if over(patterns, token) {
			st.end(why)
		}
	}
}

func (h *Hub) register(st *stream) error {
	h.mu.Lock()
	if h.closing {
		h.mu.Unlock()
		return &roxy.Problem{Code: roxy.Overloaded, Detail: "the hub is shutting down", RetryAfter: time.Second}
	}
	h.streams[st.sub.Connection] = st
	h.stats.connections.add(st.sub.Transport)
	before := h.replace(st)
	h.mu.Unlock()
	if before != nil {
		before.end(Replaced)
	}
	return nil
}

func (h *Hub) unregister(st *stream) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.streams, st.sub.Connection)
	if key := (deviceKey{st.sub.Identity.Tenant, st.sub.Device}); h.devices[key] == st {
		delete(h.devices, key)
	}
	h.stats.connections.sub(st.sub.Transport)
	if h.closing && len(h.streams) == 0 {
		close(h.idle)
	}
}

// NewConnectionID returns a name that nobody can guess.
func NewConnectionID() string { return strings.ToLower(rand.Text()[:20]) }
