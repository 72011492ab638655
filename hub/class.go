package hub

import (
	"slices"
	"strings"
	"time"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/internal/deflate"
	"github.com/roxyhub/roxy/internal/fanout"
)

// class is all that decides the bytes a stream gets: patterns, types, roles, encoding and compression, within one tenant. Its
// streams share one log. It belongs to its tenant's shard.
type class struct {
	key      string
	patterns []roxy.Pattern
	types    []string // empty: every type
	roles    []string
	views    *views
	hidden   ruleSet // what views hide from roles
	encoding Encoding
	gzip     *gzipClass // nil for a class that is not compressed
	streams  int
	log      *fanout.Log

	matched uint64 // the tenant's count of dispatched events when this class last matched one: each event once
	dirty   bool   // something was appended and its streams are to be woken

	until time.Time // when they are to be woken for what may wait; zero for nothing
}

// wants reports whether a stream of the class would take an event of this type.
func (c *class) wants(eventType string) bool {
	return len(c.types) == 0 || slices.Contains(c.types, eventType)
}

// takes reports whether every stream of the class gets an event for this audience.
func (c *class) takes(to roxy.Audience) bool { return to.Everyone() || to.IncludesRole(c.roles) }

// append adds an event to the class's log, for all of its streams but those of the readers in except.
func (c *class) append(f *encoded, e *roxy.Event, except []*fanout.Reader) {
	stamp := e.Time.UnixNano()
	if c.gzip == nil {
		c.log.Append(f.text, e.Offset, stamp, except...)
		return
	}
	var alone []byte
	if c.streams >= smallClass {
		alone = f.pack()
	}
	frame := c.gzip.pack(f.behind[:0], f.text, alone, stamp)
	if f.behind = frame.Behind; alone == nil {
		f.behind = frame.Alone
	}
	c.gzip.end = c.log.AppendPacked(frame, e.Offset, stamp, except...)
}

// give adds an event to the lane of one of the class's streams.
func (c *class) give(st *stream, f *encoded, e *roxy.Event) {
	text, sum := f.text, deflate.Sum{}
	if c.gzip != nil {
		text, sum = f.pack(), sum.With(f.text)
	}
	if st.device != nil {
		st.device.queued() // before it can be written
	}
	st.reader.Private(slices.Clone(text), sum, e.Offset, e.Time.UnixNano())
	st.reader.Wake()
}

// classKey spells what decides the bytes. Its parts cannot hold the separators.
func classKey(sub *Subscription, v *views) string {
	var b strings.Builder
	b.WriteString(viewKey(sub, v))
	if sub.Gzip {
		b.WriteString("\x00gzip")
	}
	for _, t := range sub.Types {
		b.WriteString("\x00t" + t)
	}
	return b.String()
}

// viewKey spells what decides the bytes of entities.
func viewKey(sub *Subscription, v *views) string {
	var b strings.Builder
	b.WriteString(sub.Encoding.Name())
	b.WriteString("\x00v" + v.id)
	for _, p := range sub.Patterns {
		b.WriteString("\x00p" + p.String())
	}
	for _, r := range sub.Identity.Roles {
		b.WriteString("\x00r" + r)
	}
	return b.String()
}
