// Package fanout keeps the bytes that are on their way to many streams. It knows positions and frames, not what they
// mean: topics, audiences and identities are the hub's.
//
// A Log holds what a class of streams has in common, once, as one run of ready bytes. A Reader is one stream's position
// in it, with a small lane of its own for frames that only this stream gets, merged in at their place. A Parker owns the
// sockets of streams that have no goroutine.
package fanout

import (
	"slices"
	"sync"

	"github.com/roxyhub/roxy/internal/deflate"
)

// Blocks grow with the backlog, so that a class whose readers keep up costs little and one that bursts is written in
// few system calls.
const (
	fewBlock   = 512 // of a log with few readers, which holds nothing while they keep up
	firstBlock = 2 << 10
	lastBlock  = 64 << 10
)

// few is how many readers a look at all of them costs nothing for.
const few = 4

// Limits bounds what a Log keeps for readers that are behind. A reader further behind is cut (Reader.Next).
type Limits struct {
	Bytes  int
	Frames int
}

// Log is an append-only run of frames. One goroutine at a time appends; any number of Readers follow.
//
// Invariants: blocks are contiguous in position; a block's bytes never change once appended, so readers write them to
// sockets without a lock; every reader that is not cut stands at a frame's boundary at or behind blocks[0].start.
type Log struct {
	limits  Limits
	mu      sync.Mutex
	blocks  []*block
	start   int64       // position of the oldest kept byte
	end     int64       // position behind the newest byte
	frames  int         // frames kept
	sum     deflate.Sum // of the text of all Packed frames
	readers []*Reader
	groups  []*group // of the parked ones, by shard; nil where there are none
}

type block struct {
	start int64
	buf   []byte // its capacity is never exceeded: buf is not reallocated
	marks []mark // one for each frame

	// Of a log of Packed frames.
	packs  []pack // one for each frame
	behind []byte // the frames' other form; empty when they have none
}

// pack is what a mark does not say of a Packed frame.
type pack struct {
	end  int // of its other form in behind
	from int64
	sum  deflate.Sum
}

// mark tells which log offset a position stands for.
type mark struct {
	end    int64 // position behind the frame
	offset uint64
	stamp  int64
}

func (b *block) end() int64 { return b.start + int64(len(b.buf)) }

// NewLog returns an empty log that keeps at least limits for its readers, and at most one block more.
func NewLog(limits Limits) *Log { return &Log{limits: limits} }

// Append adds frame, which stands for the given log offset (0: none); stamp is handed back with it (Batch.Stamp). It
// copies frame. The readers of l named in except are not given it, and hear of the offset by the next. Readers are not
// woken: see Wake.
func (l *Log) Append(frame []byte, offset uint64, stamp int64, except ...*Reader) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.append(frame, false, offset, stamp)
	for _, r := range except {
		r.skip(l.end - int64(len(frame)))
	}
}

// append adds frame to a block whose frames have another form, or to one whose have not.
func (l *Log) append(frame []byte, other bool, offset uint64, stamp int64) *block {
	b := l.last()
	if b == nil || cap(b.buf)-len(b.buf) < len(frame) || len(b.behind) > 0 != other {
		l.release()
		b = l.grow(len(frame))
	}
	b.buf = append(b.buf, frame...)
	l.end = b.end()
	l.frames++
	b.marks = append(b.marks, mark{l.end, offset, stamp})
	return b
}

// Packed is a frame of compressed text. Alone is for every reader. Behind, shorter, is for those that were given
// everything from position From of the log on, and nothing in between; without it, all get Alone.
type Packed struct {
	Alone, Behind []byte
	From          int64       // never less than that of the frame before
	Sum           deflate.Sum // of the text of all frames of the log up to this
}

// AppendPacked is Append for a frame of two forms, and returns the position behind it. A log has frames of one kind.
func (l *Log) AppendPacked(frame Packed, offset uint64, stamp int64, except ...*Reader) (end int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.append(frame.Alone, len(frame.Behind) > 0, offset, stamp)
	b.behind = append(b.behind, frame.Behind...)
	b.packs = append(b.packs, pack{len(b.behind), frame.From, frame.Sum})
	l.sum = frame.Sum
	for _, r := range except {
		r.skip(l.end - int64(len(frame.Alone)))
	}
	return l.end
}

// Join returns a reader that stands behind the newest frame.
func (l *Log) Join() *Reader {
	r := &Reader{log: l, wake: make(chan struct{}, 1)}
	l.mu.Lock()
	defer l.mu.Unlock()
	r.pos, r.since, r.index = l.end, l.end, len(l.readers)
	l.readers = append(l.readers, r)
	return r
}

// Wake tells each reader, or the shard that it is parked on, that there may be something to read. Urgent is for what a
// shard does before all else.
func (l *Log) Wake(urgent bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, g := range l.groups {
		if g != nil {
			g.appended(urgent)
		}
	}
	for _, r := range l.readers {
		r.signal()
	}
}

// Readers returns how many readers follow l.
func (l *Log) Readers() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.readers)
}

// Kept returns how many bytes l holds.
func (l *Log) Kept() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.end - l.start
}

func (l *Log) last() *block {
	if len(l.blocks) == 0 {
		return nil
	}
	return l.blocks[len(l.blocks)-1]
}

// grow adds a block: a small one when all readers keep up, larger ones the more there is to catch up with.
func (l *Log) grow(need int) *block {
	size := firstBlock
	if len(l.readers) <= few {
		size = fewBlock
	}
	if b := l.last(); b != nil {
		size = min(4*cap(b.buf), lastBlock)
	}
	b := &block{start: l.end, buf: make([]byte, 0, max(size, need))}
	l.blocks = append(l.blocks, b)
	return b
}

// release lets go of the blocks that every reader has passed or that the limits no longer cover, and cuts the readers
// that stand in those. It runs when a block is full, so a scan of the readers is paid for by many frames.
func (l *Log) release() {
	slowest := l.end
	for _, r := range l.readers {
		if !r.cut {
			slowest = min(slowest, r.pos)
		}
	}
	drop := 0
	for ; drop < len(l.blocks); drop++ {
		b := l.blocks[drop]
		passed := slowest >= b.end()
		beyond := l.frames-len(b.marks) >= l.limits.Frames || int(l.end-b.end()) >= l.limits.Bytes
		if !passed && !beyond {
			break
		}
		l.frames -= len(b.marks)
		l.start = b.end()
	}
	if drop == 0 {
		return
	}
	l.blocks = slices.Delete(l.blocks, 0, drop)
	for _, r := range l.readers {
		if r.pos < l.start {
			r.drop()
		}
	}
}

// forget lets go of everything when few readers follow and all have got it: there are many such logs, and each is read
// rarely.
func (l *Log) forget() {
	if len(l.readers) > few {
		return
	}
	for _, r := range l.readers {
		if r.pos < l.end && !r.cut {
			return
		}
	}
	l.blocks, l.start, l.frames = nil, l.end, 0
}

// find returns the block that holds position pos < l.end.
func (l *Log) find(pos int64) *block {
	for i := len(l.blocks) - 1; ; i-- { // from the newest: most readers are nearly there
		if b := l.blocks[i]; b.start <= pos {
			return b
		}
	}
}
