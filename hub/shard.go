package hub

import (
	"cmp"
	"context"
	"hash/maphash"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/document"
	"github.com/roxyhub/roxy/engine"
	"github.com/roxyhub/roxy/internal/fanout"
)

// joinGap is how many log positions a stream may be behind the dispatch when it joins the live log: what is appended
// while it reads those last events from the engine has to fit into its queue.
const joinGap = 256

// shard dispatches for the tenants that hash to it. One goroutine reads the engine's tail; streams that join or leave,
// and ephemeral events, enter under the same lock, because each is a few map operations and a goroutine switch for
// each would cost more than it.
type shard struct {
	hub     *Hub
	tail    engine.Tail
	mu      sync.Mutex
	tenants map[string]*tenant
	dirty   []*class

	// Of the event in hand, kept for their memory.
	matches   []*class
	envelopes []*envelope
	frames    []*encoded
	excepted  []*fanout.Reader
	ruled     struct { // the rules for its topic, of the views that were asked last
		views *views
		topic roxy.Topic
		rules ruleSet
	}
}

// tenant is what a shard knows of one tenant with streams. Guarded by shard.mu.
type tenant struct {
	name    string
	refs    int // streams that opened it
	index   topicIndex
	classes map[string]*class
	users   map[string][]*stream
	devices map[string][]*stream // those that named one
	events  uint64               // dispatched, ephemeral ones too

	known      bool          // dispatched is meaningful
	epoch      string        // of the log that dispatched is a position of
	dispatched atomic.Uint64 // every event up to this offset is in the class logs it belongs to; read without the lock
	moved      chan struct{} // closed when dispatched moves; nil when nobody waits
}

// envelope is the event in hand in one view.
type envelope struct {
	hidden *document.Hidden
	text   []byte
	fresh  bool // for the event in hand, not a previous one
}

// encoded is the event in hand in one encoding and view. Encodings are compared, so they are comparable values.
type encoded struct {
	encoding Encoding
	hidden   *document.Hidden
	text     []byte
	fresh    bool   // for the event in hand, not a previous one
	packed   []byte // text compressed; empty when that was not asked for
	behind   []byte // a class's form of it, kept for its memory
}

// pack returns the text as a fragment for any gzip stream.
func (f *encoded) pack() []byte {
	if len(f.packed) == 0 {
		f.packed = packAlone(f.packed, f.text)
	}
	return f.packed
}

// shardOf returns the shard that dispatches for tenant.
func (h *Hub) shardOf(tenant string) *shard {
	return h.shards[maphash.String(h.seed, tenant)%uint64(len(h.shards))]
}

// run dispatches what the engine commits until the tail ends.
func (s *shard) run(ctx context.Context) error {
	for {
		committed, err := s.tail.Next(ctx)
		if err != nil {
			return err
		}
		s.mu.Lock()
		for i := range committed {
			if c := &committed[i]; s.hub.shardOf(c.Tenant) == s {
				s.dispatch(c)
			}
		}
		s.flush()
		s.mu.Unlock()
	}
}

func (s *shard) dispatch(c *engine.Committed) {
	if c.Tenant == revocationTenant {
		for i := range c.Events {
			s.hub.takeRevocation(&c.Events[i])
		}
	}
	t := s.tenants[c.Tenant]
	if t != nil {
		s.deliverRun(t, c)
	}
	for i := range c.Events {
		switch e := &c.Events[i]; {
		case e.Ack != nil:
			s.hub.deadlines.add(c.Tenant, engine.OpenAck{Offset: e.Offset, Attempt: 1, Due: engine.FirstDue(e, time.Now())})
		case e.Type == roxy.UnackedType:
			s.mourn(t, e)
		}
	}
}

// deliverRun delivers what was committed together.
func (s *shard) deliverRun(t *tenant, c *engine.Committed) {
	if t.epoch != c.Epoch { // an import was given up, and the log begins anew
		t.epoch, t.known = c.Epoch, false
	}
	now := time.Now()
	for i := range c.Events {
		e := &c.Events[i]
		if t.known && e.Offset <= t.dispatched.Load() {
			continue // committed before the tenant was opened, and replayed by whoever wants it
		}
		if !e.Expired(now) {
			s.deliver(t, e, roxy.Cursor{Epoch: c.Epoch, Offset: e.Offset})
		}
		t.known = true
		t.dispatched.Store(e.Offset)
	}
	if t.moved != nil {
		close(t.moved)
		t.moved = nil
	}
}

// deliver appends e to the logs of the classes it is for, and to the lanes of the streams it is for by name alone.
func (s *shard) deliver(t *tenant, e *roxy.Event, cursor roxy.Cursor) {
	t.events++
	s.matches = s.matches[:0]
	t.index.match(e.Topic, func(c *class) {
		if c.matched != t.events && c.wants(e.Type) {
			c.matched = t.events
			s.matches = append(s.matches, c)
		}
	})
	if len(s.matches) == 0 {
		return
	}
	wait := s.hub.opts.coalesce(e)
	for _, v := range s.envelopes {
		v.fresh = false
	}
	for _, f := range s.frames {
		f.fresh = false
	}
	if e.Ack != nil {
		t.expect(e)
	}
	for _, c := range s.matches {
		if c.takes(e.To) {
			c.append(s.encode(c, cursor, e), e, s.except(t, c, e))
			s.markDirty(c, e.Urgent, wait)
		}
	}
	for _, user := range e.To.Users {
		for _, st := range t.users[user] {
			if c := st.class; c.matched == t.events && !c.takes(e.To) && !st.sub.excepted(e) {
				c.give(st, s.encode(c, cursor, e), e)
			}
		}
	}
}

// expect notes that a critical event, the one that the classes were just matched with, is on its way to devices.
func (t *tenant) expect(e *roxy.Event) {
	for _, streams := range t.devices {
		for _, st := range streams {
			if st.class.matched == t.events && st.sub.takes(e) {
				st.expect(e)
			}
		}
	}
}

// encode returns the event as the class is given it.
func (s *shard) encode(c *class, cursor roxy.Cursor, e *roxy.Event) *encoded {
	hidden := s.hidden(c, e.Topic)
	var unused *encoded
	for _, f := range s.frames {
		switch {
		case !f.fresh:
			unused = f
		case f.hidden == hidden && f.encoding == c.encoding:
			return f
		}
	}
	if unused == nil {
		unused = &encoded{}
		s.frames = append(s.frames, unused)
	}
	f := unused
	f.encoding, f.hidden, f.fresh = c.encoding, hidden, true
	f.text, f.packed = c.encoding.AppendEvent(f.text[:0], cursor, e.Type, s.inView(hidden, cursor, e)), f.packed[:0]
	return f
}

// hidden returns what the class does not see on a topic. Which rules are for it is found once for all classes.
func (s *shard) hidden(c *class, topic roxy.Topic) *document.Hidden {
	if c.hidden == (ruleSet{}) {
		return nil
	}
	if s.ruled.views != c.views || s.ruled.topic != topic {
		s.ruled.views, s.ruled.topic, s.ruled.rules = c.views, topic, c.views.on(topic)
	}
	return c.views.view(s.ruled.rules.and(c.hidden))
}

// inView returns the event's envelope for those who do not see hidden.
func (s *shard) inView(hidden *document.Hidden, cursor roxy.Cursor, e *roxy.Event) []byte {
	var unused *envelope
	for _, v := range s.envelopes {
		switch {
		case !v.fresh:
			unused = v
		case v.hidden == hidden:
			return v.text
		}
	}
	if unused == nil {
		unused = &envelope{}
		s.envelopes = append(s.envelopes, unused)
	}
	unused.hidden, unused.fresh = hidden, true
	unused.text = appendEnvelope(unused.text[:0], e, cursor, hidden)
	return unused.text
}

// coalesce returns how long e may wait for others.
func (o *Options) coalesce(e *roxy.Event) time.Duration {
	shortest := time.Duration(-1)
	for i := range o.Coalesce {
		if c := &o.Coalesce[i]; c.Pattern.Matches(e.Topic) && (shortest < 0 || c.Wait < shortest) {
			shortest = c.Wait
		}
	}
	return max(shortest, 0)
}

// markDirty notes that c's streams are to be woken, those of an urgent event first. What is appended meanwhile goes with
// what waits.
func (s *shard) markDirty(c *class, urgent bool, wait time.Duration) {
	switch {
	case urgent:
		c.log.Wake(true)
	case wait > 0:
		if until := time.Now().Add(wait); !c.dirty && (c.until.IsZero() || until.Before(c.until)) {
			c.until = until
			time.AfterFunc(wait, func() { s.waited(c) })
		}
	case !c.dirty:
		c.dirty = true
		s.dirty = append(s.dirty, c)
	}
}

// waited wakes the streams of a class whose events have waited for others.
func (s *shard) waited(c *class) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !c.until.IsZero() && !time.Now().Before(c.until) {
		c.until = time.Time{}
		c.log.Wake(false)
	}
}

// flush wakes the streams that have something to read: once for all that was committed together.
func (s *shard) flush() {
	for i, c := range s.dirty {
		c.dirty, c.until = false, time.Time{}
		c.log.Wake(false)
		s.dirty[i] = nil
	}
	s.dirty = s.dirty[:0]
}

// signal dispatches an event that is in no log.
func (s *shard) signal(tenantName string, e *roxy.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.tenants[tenantName]; t != nil {
		s.deliver(t, e, roxy.Cursor{})
		s.flush()
	}
}

// open returns the tenant's state and keeps it until close. From here on dispatch follows the tenant, so that every
// event committed later than this call either is dispatched or lies at or before the head that Bounds tells.
func (s *shard) open(name string) *tenant {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.tenants[name]
	if t == nil {
		t = &tenant{name: name, classes: make(map[string]*class), users: make(map[string][]*stream), devices: make(map[string][]*stream)}
		s.tenants[name] = t
	}
	t.refs++
	return t
}

func (s *shard) close(t *tenant) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t.refs--; t.refs == 0 {
		delete(s.tenants, t.name)
	}
}

// settle makes dispatched meaningful with what Bounds told after open.
func (s *shard) settle(t *tenant, b engine.Bounds) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !t.known || t.epoch != b.Epoch {
		t.known, t.epoch = true, b.Epoch
		t.dispatched.Store(b.Head)
	}
}

// reached waits until the dispatch of t has come to offset.
func (s *shard) reached(ctx context.Context, t *tenant, offset uint64, ended <-chan struct{}) error {
	for {
		s.mu.Lock()
		if t.dispatched.Load() >= offset {
			s.mu.Unlock()
			return nil
		}
		if t.moved == nil {
			t.moved = make(chan struct{})
		}
		moved := t.moved
		s.mu.Unlock()
		select {
		case <-moved:
		case <-ended:
			return errEnded
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// join lets st, which has been given everything up to offset at, follow its class from the position that dispatch has
// come to, and returns that position: what lies between is st's to read from the engine. It refuses while that is more
// than joinGap.
func (s *shard) join(t *tenant, st *stream, at uint64) (dispatched uint64, joined bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	dispatched = t.dispatched.Load()
	if dispatched > at+joinGap {
		return dispatched, false
	}
	key := classKey(&st.sub, st.views)
	c := t.classes[key]
	if c == nil {
		c = &class{
			key: key, patterns: st.sub.Patterns, types: st.sub.Types, roles: st.sub.Identity.Roles, encoding: st.sub.Encoding,
			views: st.views, hidden: st.views.hiddenFrom(st.sub.Identity.Roles),
			log: fanout.NewLog(fanout.Limits{Bytes: s.hub.opts.QueueBytes, Frames: s.hub.opts.QueueEvents}),
		}
		if st.sub.Gzip {
			c.gzip = &gzipClass{}
		}
		t.classes[key] = c
		for _, p := range c.patterns {
			t.index.insert(p, c)
		}
	}
	st.share(c)
	user := st.sub.Identity.User
	t.users[user] = append(t.users[user], st)
	t.named(st)
	st.class = c
	c.streams++
	st.follow(c.log.Join())
	if c.gzip != nil {
		st.gzip.follow(c.gzip.sum)
	}
	return dispatched, true
}

// leave undoes join.
func (s *shard) leave(t *tenant, st *stream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := st.class
	if c == nil {
		return
	}
	st.class = nil
	st.unwatch()
	st.follow(nil)
	user := st.sub.Identity.User
	if streams := slices.DeleteFunc(t.users[user], func(o *stream) bool { return o == st }); len(streams) == 0 {
		delete(t.users, user)
	} else {
		t.users[user] = streams
	}
	t.unnamed(st)
	if c.streams--; c.streams == 0 {
		delete(t.classes, c.key)
		for _, p := range c.patterns {
			t.index.remove(p, c)
		}
	}
}

// comparePatterns orders the patterns of a subscription, so that their order in a request makes no class of its own.
func comparePatterns(a, b roxy.Pattern) int { return cmp.Compare(a.String(), b.String()) }
