package fanout

import (
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"
)

// Owner decides about one parked stream. The shard that owns the socket calls it, never two calls at once, and waits for
// it: it must not block.
type Owner interface {
	// Due is called when the time that it named has come, and after Poke: it returns a frame to send now, or nil, and
	// when it is to be asked next. last closes the socket behind the frame. While a frame is on its way (busy) it has no
	// frame to give, and last closes the socket as it is.
	Due(now time.Time, busy bool) (frame []byte, next time.Time, last bool)
	// Wrote says that batch has left for the kernel. A nil batch stands for a frame of Due's.
	Wrote(batch *Batch, bytes int, at time.Time)
	// Closed says that the socket is closed, and why. It is the last call.
	Closed(Cause)
	// Released gives the socket back, because the reader was cut or a Listener wants it. It is the last call.
	Released(socket Socket, rest Rest)
}

// Listener is told what a client says, by the shard, as an Owner is.
type Listener interface {
	// Received is called with what has come; p is valid until it returns. reply goes out between two frames. wake gives the
	// socket back to its Owner, with p (Rest.Received), to be answered elsewhere.
	Received(p []byte) (reply []byte, wake bool)
}

// Rest is what a socket was doing when it was released.
type Rest struct {
	Pending  []byte    // has not left yet, and goes first
	Batch    Batch     // that Pending is the end of; its Bytes are nil for a frame that is not the log's
	Blocked  time.Time // since when the socket has taken nothing; zero while it does
	Received []byte    // what the Listener was told when it wanted the socket back
}

// Cause is why a socket was closed.
type Cause int

// The causes.
const (
	Peer  Cause = iota // the other side closed, reset or vanished
	Last               // Due said so
	Stuck              // the socket took nothing for too long
)

// Bounds on a socket that takes nothing.
const (
	// stall closes a socket that takes nothing for this long, the kernel's buffers being full: longer than the 3–5 s
	// that a tablet needs to change its Wi-Fi cell.
	stall = 10 * time.Second
	// stuck is how long a socket may take nothing before its reader, when it is cut, is released for that alone.
	stuck = time.Second
)

// maxIgnored is what a client may send at once on a stream that is not listened to before it is cut off.
const maxIgnored = 4 << 10

// maxReplies bounds the replies that wait for a socket: it belongs to somebody who asks and does not read.
const maxReplies = 4 << 10

// Times are looked at in ticks.
const (
	tick    = 250 * time.Millisecond
	horizon = 64 * time.Second // what is later is looked at again then
	slots   = int(horizon / tick)
)

// Parked is a stream without a goroutine: a socket, a reader and an owner. It has 256 bytes; one more costs each stream 32,
// which is the next size that is allocated.
type Parked struct {
	shard  *Shard
	socket Socket
	reader *Reader
	owner  Owner
	ears   Listener // nil drops what the client sends
	id     uint64   // never used twice, unlike the descriptor: an event for an earlier owner of it finds nobody

	// Owned by the shard.
	replies []byte    // to be sent behind the frame in hand
	pending []byte    // the rest of what the socket did not take at once
	batch   Batch     // what pending is the end of
	blocked time.Time // since when the socket takes nothing; zero while it does
	group   *group
	written int32 // bytes of batch that have left
	index   int32 // in group.members
	place   int32 // in slot
	slot    int16 // in Shard.wheel, -1 for none
	last    bool  // close when pending has left
}

// Poke lets the owner be asked soon.
func (p *Parked) Poke() { p.shard.post(func(in *inbox) { in.pokes = append(in.pokes, p) }) }

// news lets the shard look whether there is something for p alone.
func (p *Parked) news() { p.shard.post(func(in *inbox) { in.news = append(in.news, p) }) }

// group is the streams of one log on one shard.
type group struct {
	shard   *Shard
	members []*Parked // owned by the shard
	queued  bool      // in the inbox; guarded by the inbox's lock
}

// Parker owns the sockets of parked streams. There is one Shard for each core: more only switch.
type Parker struct {
	shards []*Shard
	next   atomic.Uint64
	ids    atomic.Uint64
	storm  storm
	stop   chan struct{}
	wait   sync.WaitGroup
}

// inbox is what others tell a shard.
type inbox struct {
	added  []arrival
	pokes  []*Parked
	news   []*Parked // streams with something of their own to send
	ready  []ready
	groups []*group // something was appended
	urgent []*group // the same, first
}

// arrival is a stream that comes to a shard, and when it wants to be asked first.
type arrival struct {
	*Parked
	first time.Time
}

// ready is what the kernel says of a socket.
type ready struct {
	id               uint64
	readable, closed bool
}

// Shard is the only one to write to its sockets, to close them and to forget them.
type Shard struct {
	parker *Parker
	number int
	poll   *poll

	mu    sync.Mutex
	inbox inbox
	wake  chan struct{}

	// Owned by the shard's goroutine.
	buf    [maxIgnored]byte // what a client sent
	parked map[uint64]*Parked
	wheel  [slots][]*Parked
	now    time.Time
	hand   int
}

// StartParker returns a running Parker with the given number of shards, or an error where sockets cannot be parked.
func StartParker(shards int) (*Parker, error) {
	p := &Parker{stop: make(chan struct{})}
	for i := range shards {
		poll, err := openPoll()
		if err != nil {
			p.Close()
			return nil, err
		}
		s := &Shard{parker: p, number: i, poll: poll, wake: make(chan struct{}, 1), parked: make(map[uint64]*Parked)}
		p.shards = append(p.shards, s)
		p.wait.Go(s.run)
		p.wait.Go(func() { poll.run(s.kernel) })
	}
	return p, nil
}

// Close waits for the shards' end; the sockets that are still parked are closed, their owners told so.
func (p *Parker) Close() {
	close(p.stop)
	for _, s := range p.shards {
		s.poll.close()
	}
	p.wait.Wait()
}

// A connection leaves its server's buffers behind when it is parked: twenty times what it takes from then on. After a
// storm of at least stormSize of them nothing would collect that for minutes, since little is allocated any more.
const stormSize = 1000

// storm counts arrivals, so that what they leave is collected once they are over.
type storm struct {
	arrived  uint64 // ids at the last look
	swept    uint64 // ids at the last collection
	sweeping atomic.Bool
}

// sweep collects what a storm has left when nobody has arrived since the last look, a tick ago. One shard calls it.
func (p *Parker) sweep() {
	arrived := p.ids.Load()
	calm := arrived == p.storm.arrived
	p.storm.arrived = arrived
	if !calm || arrived-p.storm.swept < stormSize || !p.storm.sweeping.CompareAndSwap(false, true) {
		return
	}
	p.storm.swept = arrived
	p.wait.Go(func() {
		debug.FreeOSMemory()
		p.storm.sweeping.Store(false)
	})
}

// Park hands a socket over. Its reader follows a log from now on without waking anybody. ears is told what the client
// sends, or nil. first is when the owner is to be asked for the first time.
func (p *Parker) Park(socket Socket, r *Reader, owner Owner, ears Listener, first time.Time) *Parked {
	s := p.shards[p.next.Add(1)%uint64(len(p.shards))]
	parked := &Parked{shard: s, socket: socket, reader: r, owner: owner, ears: ears, id: p.ids.Add(1), slot: -1}
	parked.group = r.log.groupFor(s)
	r.park(parked)
	s.post(func(in *inbox) { in.added = append(in.added, arrival{parked, first}) })
	return parked
}

// groupFor returns the group of l's streams on s.
func (l *Log) groupFor(s *Shard) *group {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.groups) <= s.number {
		l.groups = append(l.groups, nil)
	}
	if l.groups[s.number] == nil {
		l.groups[s.number] = &group{shard: s}
	}
	return l.groups[s.number]
}

func (s *Shard) post(add func(*inbox)) {
	s.mu.Lock()
	add(&s.inbox)
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default: // it is awake already
	}
}

// appended tells the group's shard that its log has grown.
func (g *group) appended(urgent bool) {
	g.shard.post(func(in *inbox) {
		if urgent {
			in.urgent = append(in.urgent, g)
		} else if !g.queued {
			g.queued = true
			in.groups = append(in.groups, g)
		}
	})
}

// kernel takes what the kernel says.
func (s *Shard) kernel(events []ready) {
	s.post(func(in *inbox) { in.ready = append(in.ready, events...) })
}
