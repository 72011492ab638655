package hub

import (
	"context"
	"slices"
	"time"

	"github.com/roxyhub/roxy/internal/deflate"
	"github.com/roxyhub/roxy/internal/fanout"
)

// presenceType is the type of the events that tell who is present.
const presenceType = "roxy:presence"

// presencePart is how many devices one roxy:presence names at most: with names of 128 and 64 bytes it is no larger than the
// largest event, which clients and proxies are ready for anyway.
const presencePart = 200

// watcher is a stream that hears who is present.
type watcher struct {
	roster *roster
	reader *fanout.Reader
	form   presenceForm
}

// presenceForm is what decides the bytes of a change.
type presenceForm struct {
	encoding Encoding
	gzip     bool
}

// presenceFrame is a change in one form.
type presenceFrame struct {
	text []byte
	sum  deflate.Sum
}

// watches reports whether the stream hears who is present: it subscribes to the topic, and has it in its types if it has
// any.
func (st *stream) watches() bool {
	return st.visit != nil && st.sub.matches(st.hub.presence.topic) && (len(st.sub.Types) == 0 || slices.Contains(st.sub.Types, presenceType))
}

// watch gives the stream, which has joined its class, everybody who is present, and has it hear of changes until it
// leaves. The changes wait in its lane meanwhile, and the list goes out at the stream's own pace: however long it is, it
// cuts nobody.
func (st *stream) watch(ctx context.Context) error {
	if st.watcher != nil || !st.watches() {
		return nil
	}
	p := st.hub.presence
	for n := p.size(st.visit); n > 0; n -= replayStep {
		if err := st.afford(ctx, min(n, replayStep)); err != nil {
			return err
		}
	}
	var present []Present
	st.watcher, present = p.watch(st.visit, st.reader, presenceForm{st.sub.Encoding, st.gzip != nil})
	parts := max(1, (len(present)+presencePart-1)/presencePart)
	for part := 1; part <= parts; part++ {
		n := min(len(present), presencePart)
		if err := st.control(Control{Type: presenceType, Data: PresenceList{
			Present: present[:n], Part: part, Parts: parts, Settles: p.unsettled(time.Now()),
		}}); err != nil {
			return err
		}
		present = present[n:]
		if st.over() {
			return errEnded
		}
		if err := st.due(); err != nil {
			return err
		}
	}
	return nil
}

// unwatch undoes watch.
func (st *stream) unwatch() {
	if st.watcher == nil {
		return
	}
	st.hub.presence.unwatch(st.watcher)
	st.watcher = nil
}

// unsettled returns until when who was present before the hub began may not be back; nil afterwards.
func (p *presence) unsettled(now time.Time) *time.Time {
	if !now.Before(p.settles) {
		return nil
	}
	settles := p.settles.UTC()
	return &settles
}

// size returns how long the list for v's stream is going to be, about.
func (p *presence) size(v *visit) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(v.device.user.roster.users)
}

// watch returns whom the tenant's watchers know to be present. From then on reader is given what changes of that, with
// those: what has changed already and waits to be told comes later, so that nothing is left out and nothing told twice.
func (p *presence) watch(v *visit, reader *fanout.Reader, form presenceForm) (*watcher, []Present) {
	p.mu.Lock()
	defer p.mu.Unlock()
	r := v.device.user.roster
	if len(r.watchers) == 0 { // nobody has been told anything
		r.watchers = make(map[*watcher]struct{})
		for _, u := range r.users {
			u.told = 0
			for _, d := range u.devices {
				d.told = true // without watchers, only who is present is kept
				u.told++
			}
		}
	}
	w := &watcher{r, reader, form}
	r.watchers[w] = struct{}{}
	present := make([]Present, 0, len(r.users))
	for _, u := range r.users {
		for _, d := range u.devices {
			if d.told {
				present = append(present, Present{User: u.name, Device: d.name, Since: d.since})
			}
		}
	}
	return w, present
}

func (p *presence) unwatch(w *watcher) {
	p.mu.Lock()
	defer p.mu.Unlock()
	r := w.roster
	if delete(r.watchers, w); len(r.watchers) > 0 {
		return
	}
	p.dirty = slices.DeleteFunc(p.dirty, func(o *roster) bool { return o == r })
	dirty := r.dirty
	r.dirty = nil
	for _, d := range dirty {
		if d.dirty = false; len(d.visits) == 0 {
			p.remove(d)
		}
	}
	p.release(r)
}

// changed has watchers hear of d with all else that changes within the window.
func (p *presence) changed(d *presentDevice, now time.Time) {
	r := d.user.roster
	if d.dirty || len(r.watchers) == 0 {
		return
	}
	d.dirty = true
	if r.dirty = append(r.dirty, d); len(r.dirty) > 1 {
		return
	}
	if p.dirty = append(p.dirty, r); len(p.dirty) == 1 {
		p.flushAt = now.Add(presenceWindow)
		p.poke()
	}
}

// flush tells watchers what has changed since they were told the last time. Who came and went, or went and came, in
// between is not mentioned.
func (p *presence) flush(now time.Time) {
	for i, r := range p.dirty {
		p.dirty[i] = nil
		dirty := r.dirty
		r.dirty = nil
		joined, left := p.settle(dirty)
		for len(joined)+len(left) > 0 {
			change := PresenceChange{Joined: joined[:min(len(joined), presencePart)]}
			joined = joined[len(change.Joined):]
			change.Left = left[:min(len(left), presencePart-len(change.Joined))]
			left = left[len(change.Left):]
			r.tell(change, now)
		}
	}
	p.dirty = p.dirty[:0]
}

// settle makes what watchers know of devices what is true, and returns the difference, those who joined before those who
// left: who changes devices is present all the time.
func (p *presence) settle(dirty []*presentDevice) (joined []Joined, left []Left) {
	joined, left = []Joined{}, []Left{} // not null
	for _, d := range dirty {
		if d.dirty = false; len(d.visits) > 0 && !d.told {
			d.told = true
			joined = append(joined, Joined{Present{d.user.name, d.name, d.since}, d.user.told})
			d.user.told++
		}
	}
	for _, d := range dirty {
		if len(d.visits) > 0 {
			continue
		}
		if d.told {
			d.told = false
			d.user.told--
			left = append(left, Left{d.user.name, d.name, d.until, d.user.told})
		}
		p.remove(d)
	}
	return joined, left
}

// tell gives a change to the watchers, spelled once for all who take it in the same form.
func (r *roster) tell(change PresenceChange, now time.Time) {
	frames := make(map[presenceForm]presenceFrame, 1)
	for w := range r.watchers {
		f, ok := frames[w.form]
		if !ok {
			f = w.form.spell(change)
			frames[w.form] = f
		}
		w.reader.Private(f.text, f.sum, 0, now.UnixNano())
		w.reader.Wake()
	}
}

func (f presenceForm) spell(change PresenceChange) (frame presenceFrame) {
	frame.text = f.encoding.AppendControl(nil, Control{Type: presenceType, Data: change})
	if f.gzip {
		frame.sum = frame.sum.With(frame.text)
		frame.text = packAlone(nil, frame.text)
	}
	return frame
}
