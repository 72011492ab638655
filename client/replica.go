package client

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/document"
)

// Replica is a copy of entities in memory that a subscription keeps up to date, best one with Snapshot: each message goes
// through Take, and then the copy is as the hub's log says at that place. Without a Snapshot, it knows the entities that
// have changed since, and reads each when it changes first.
//
// One goroutine takes; any may read. What is returned is shared: nobody writes to it.
type Replica struct {
	client *Client

	mu       sync.RWMutex
	entities map[roxy.Topic]roxy.Entity // a deleted one has no Data and counts on
	whole    bool                       // it began with a snapshot: what is not in entities does not exist
	live     bool
}

// NewReplica returns an empty copy, which reads by c what it cannot know from the messages.
func NewReplica(c *Client) *Replica {
	return &Replica{client: c, entities: make(map[roxy.Topic]roxy.Entity)}
}

// Take brings the copy to where m is. It leaves out versions that it has or is beyond, and when one is missing it reads the
// entity: an error is that of Client.Entity, or the end of ctx, and leaves what it was.
func (r *Replica) Take(ctx context.Context, m Message) error {
	switch m := m.(type) {
	case Snapshot:
		r.clear(true)
	case Reset:
		r.clear(false)
	case Entity:
		r.set(m.Entity)
	case Live:
		r.mu.Lock()
		r.live = true
		r.mu.Unlock()
	case Event:
		if m.Change != nil {
			return r.change(ctx, &m)
		}
	case Receipt, AckNews, Presence: // say nothing of entities that the event of the commit does not
	}
	return nil
}

// Entity returns what lives at topic.
func (r *Replica) Entity(topic roxy.Topic) (e roxy.Entity, ok bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	e = r.entities[topic]
	return e, e.Exists()
}

// Entities yields all entities, sorted by topic, as they are when it is called.
func (r *Replica) Entities() iter.Seq[roxy.Entity] {
	r.mu.RLock()
	defer r.mu.RUnlock()
	var all []roxy.Entity
	for _, e := range r.entities {
		if e.Exists() {
			all = append(all, e)
		}
	}
	slices.SortFunc(all, func(a, b roxy.Entity) int { return strings.Compare(a.Topic.String(), b.Topic.String()) })
	return slices.Values(all)
}

// Live reports whether the copy holds all that there is: before the first Live, and from a Snapshot or Reset to the next
// one, it does not. A broken connection is not known here: Subscription.OnState tells.
func (r *Replica) Live() bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.live
}

func (r *Replica) clear(whole bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	clear(r.entities)
	r.whole, r.live = whole, false
}

func (r *Replica) set(e roxy.Entity) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.entities[e.Topic] = e
}

// change applies a commit to the version before it.
func (r *Replica) change(ctx context.Context, e *Event) error {
	r.mu.RLock()
	have, known := r.entities[e.Topic]
	whole := r.whole
	r.mu.RUnlock()
	c := e.Change
	switch {
	case have.Version >= c.Version:
		return nil
	case known && have.Version+1 == c.Version, c.Version == 1:
	case !known && whole && c.Op == roxy.Put: // it was deleted before the snapshot, which has no tombstones
	case c.Op == roxy.Delete: // whatever it was
	default:
		return r.fetch(ctx, e.Topic)
	}
	now := roxy.Entity{Topic: e.Topic, Version: c.Version, Time: e.Time, Offset: e.Offset}
	if c.Op != roxy.Delete {
		now.Data = have.Data
		if now.Data == nil {
			now.Data = []byte("{}")
		}
		now.Data = document.Merge(now.Data, c.Patch)
	}
	r.set(now)
	return nil
}

// fetch reads an entity. One that has been deleted since is not known until the event that says so: a patch before that
// would have nothing to go on.
func (r *Replica) fetch(ctx context.Context, topic roxy.Topic) error {
	e, _, err := r.client.Entity(ctx, topic)
	switch {
	case errors.Is(err, roxy.ErrNotFound):
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.entities, topic)
		r.whole = false
		return nil
	case err != nil:
		return fmt.Errorf("client: a version of %s is missing: %w", topic, err)
	}
	r.set(e)
	return nil
}
