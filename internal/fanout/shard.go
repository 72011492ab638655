package fanout

import (
	"slices"
	"time"
)

// glance is how many sockets are written to before urgent news is looked for.
const glance = 64

// run is the shard's goroutine.
func (s *Shard) run() {
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	s.now = time.Now()
	s.hand = s.slotOf(s.now)
	for {
		select {
		case <-s.parker.stop:
			s.end()
			return
		case <-s.wake:
			s.take()
		case <-ticker.C:
			s.turn()
			if s.number == 0 {
				s.parker.sweep()
			}
		}
	}
}

// end closes all sockets, those that have just come too.
func (s *Shard) end() {
	for _, p := range s.parked {
		s.shut(p, Peer)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range s.inbox.added {
		a.socket.close()
		a.owner.Closed(Peer)
	}
	s.inbox = inbox{}
}

// take does what the inbox asks for.
func (s *Shard) take() {
	s.mu.Lock()
	in := s.inbox
	s.inbox = inbox{}
	for _, g := range in.groups {
		g.queued = false
	}
	s.mu.Unlock()
	s.now = time.Now()
	for _, a := range in.added {
		s.add(a)
	}
	for _, e := range in.ready {
		if p := s.parked[e.id]; p != nil {
			s.react(p, e)
		}
	}
	for _, p := range in.pokes {
		if s.parked[p.id] == p {
			s.ask(p)
		}
	}
	for _, p := range in.news {
		if s.parked[p.id] == p {
			s.send(p)
		}
	}
	s.pass(in.urgent, true)
	s.pass(in.groups, false)
}

// pass writes to all streams of the groups what they have not got.
func (s *Shard) pass(groups []*group, urgent bool) {
	for _, g := range groups {
		// From behind: a member that goes is replaced by one that had its turn.
		for i := len(g.members) - 1; i >= 0; i-- { //nolint:modernize // members go while it runs
			if i < len(g.members) {
				s.send(g.members[i])
			}
			if !urgent && i%glance == 0 {
				s.pass(s.urgent(), true)
			}
		}
	}
}

// urgent returns the groups that cannot wait for the end of a pass.
func (s *Shard) urgent() []*group {
	s.mu.Lock()
	defer s.mu.Unlock()
	groups := s.inbox.urgent
	s.inbox.urgent = nil
	return groups
}

func (s *Shard) add(a arrival) {
	p := a.Parked
	if err := s.poll.add(p.socket, p.id); err != nil {
		p.socket.close()
		p.owner.Closed(Peer)
		return
	}
	s.parked[p.id] = p
	p.index = int32(len(p.group.members)) //nolint:gosec // fewer streams than that
	p.group.members = append(p.group.members, p)
	s.schedule(p, a.first)
	s.react(p, ready{readable: p.socket.tls != nil}) // crypto/tls may have read more than it was asked for
}

// send writes to p until nothing is left or its socket takes no more.
func (s *Shard) send(p *Parked) {
	for p.blocked.IsZero() {
		if len(p.pending) == 0 {
			if p.last {
				s.shut(p, Last)
				return
			}
			if !s.load(p) {
				return
			}
		}
		n, full, err := p.socket.write(p.pending)
		if err != nil {
			s.shut(p, Peer)
			return
		}
		p.pending, p.written = p.pending[n:], p.written+int32(n) //nolint:gosec // fewer bytes than that
		if len(p.pending) == 0 {
			s.wrote(p)
		}
		if full {
			p.blocked = time.Now()
			s.schedule(p, p.blocked.Add(stuck))
			return
		}
	}
	if s.now.Sub(p.blocked) > stuck && p.reader.Cut() {
		s.release(p, nil)
	}
}

// load takes up what goes next, and returns false when there is nothing, or p is not the shard's any more.
func (s *Shard) load(p *Parked) bool {
	if len(p.replies) > 0 {
		p.batch, p.pending, p.written, p.replies = Batch{}, p.replies, 0, nil
		return true
	}
	batch, ok := p.reader.Next()
	if !ok {
		s.release(p, nil)
		return false
	}
	p.batch, p.pending, p.written = batch, batch.Bytes, 0
	return len(batch.Bytes) > 0
}

func (s *Shard) wrote(p *Parked) {
	batch := p.batch
	p.batch, p.pending = Batch{}, nil
	if batch.Bytes == nil {
		p.owner.Wrote(nil, int(p.written), s.now)
		return
	}
	p.owner.Wrote(&batch, int(p.written), time.Now())
}

// react follows what the kernel says: gone, something to read, or room again.
func (s *Shard) react(p *Parked, e ready) {
	if e.readable && !s.receive(p) {
		return
	}
	if err := p.socket.flush(); e.closed || err != nil {
		s.shut(p, Peer)
		return
	}
	p.blocked = time.Time{}
	s.send(p)
}

// receive reads what p's client has sent, and returns false when p is not the shard's any more.
func (s *Shard) receive(p *Parked) bool {
	for total := 0; total < maxIgnored; {
		n, err := p.socket.read(s.buf[:])
		switch {
		case err != nil:
			s.shut(p, Peer)
			return false
		case n == 0:
			return true
		}
		if total += n; p.ears == nil || p.last {
			continue
		}
		reply, wake := p.ears.Received(s.buf[:n])
		if wake {
			s.release(p, slices.Clone(s.buf[:n]))
			return false
		}
		if p.replies = append(p.replies, reply...); len(p.replies) > maxReplies {
			s.shut(p, Stuck)
			return false
		}
	}
	if p.ears != nil { // so much is for who can make it wait
		s.release(p, nil)
	} else {
		s.shut(p, Peer)
	}
	return false
}

// ask lets the owner have its say.
func (s *Shard) ask(p *Parked) {
	if p.last {
		return
	}
	busy := len(p.pending) > 0
	frame, next, last := p.owner.Due(s.now, busy)
	if busy && last {
		s.shut(p, Last)
		return
	}
	p.last = last
	if len(frame) > 0 {
		p.reader.Interrupt()
		p.batch, p.pending, p.written = Batch{}, slices.Clone(frame), 0
	}
	s.schedule(p, next)
	if len(frame) > 0 || last {
		s.send(p)
	}
}

// turn moves the hand of the wheel to now and asks the owners whose time has come.
func (s *Shard) turn() {
	s.now = time.Now()
	for target := s.slotOf(s.now); s.hand != target; {
		s.hand = (s.hand + 1) % slots
		due := s.wheel[s.hand]
		s.wheel[s.hand] = nil
		for _, p := range due {
			p.slot = -1
		}
		for _, p := range due {
			switch {
			case s.parked[p.id] != p: // it went while the others were asked
			case !p.blocked.IsZero() && (p.last || s.now.Sub(p.blocked) >= stall):
				s.shut(p, Stuck)
			case !p.blocked.IsZero() && s.now.Sub(p.blocked) > stuck && p.reader.Cut():
				s.release(p, nil)
			default:
				s.ask(p)
			}
		}
	}
}

func (s *Shard) slotOf(t time.Time) int { return int(t.UnixNano() / int64(tick) % int64(slots)) }

// slotFor returns the slot in which t is noticed: the first that ends behind it, at most a round away.
func (s *Shard) slotFor(t time.Time) int {
	now := time.Now()
	if limit := now.Add(horizon - 2*tick); t.After(limit) {
		t = limit
	}
	if soon := now.Add(tick); t.Before(soon) {
		t = soon
	}
	return s.slotOf(t.Add(tick))
}

// schedule lets the owner be asked when next has come; sooner while the socket takes nothing, to see how long.
func (s *Shard) schedule(p *Parked, next time.Time) {
	s.unschedule(p)
	if soon := s.now.Add(stuck); !p.blocked.IsZero() && next.After(soon) {
		next = soon
	}
	slot := s.slotFor(next)
	p.slot, p.place = int16(slot), int32(len(s.wheel[slot])) //nolint:gosec // fewer slots and streams than that
	s.wheel[slot] = append(s.wheel[slot], p)
}

func (s *Shard) unschedule(p *Parked) {
	if p.slot < 0 {
		return
	}
	at := s.wheel[p.slot]
	last := len(at) - 1
	at[p.place] = at[last]
	at[p.place].place = p.place
	at[last] = nil
	s.wheel[p.slot] = at[:last]
	p.slot = -1
}

// forget takes p out of everything that names it.
func (s *Shard) forget(p *Parked) {
	delete(s.parked, p.id)
	s.unschedule(p)
	members := p.group.members
	last := len(members) - 1
	members[p.index] = members[last]
	members[p.index].index = p.index
	members[last] = nil
	p.group.members = members[:last]
}

// shut closes p's socket.
func (s *Shard) shut(p *Parked, why Cause) {
	s.forget(p)
	p.socket.close()
	p.owner.Closed(why)
}

// release gives p's socket back to its owner.
func (s *Shard) release(p *Parked, received []byte) {
	s.forget(p)
	s.poll.remove(p.socket)
	pending := p.pending
	if len(p.replies) > 0 {
		pending = append(slices.Clip(pending), p.replies...)
	}
	p.owner.Released(p.socket, Rest{pending, p.batch, p.blocked, received})
}
