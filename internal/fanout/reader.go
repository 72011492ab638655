package fanout

import (
	"slices"
	"sort"

	"github.com/roxyhub/roxy/internal/deflate"
)

// Reader is one stream's position in a Log. Next is for one goroutine; everything else may be called from any.
type Reader struct {
	log   *Log
	wake  chan struct{}
	index int // in log.readers

	// Guarded by log.mu.
	pos       int64
	since     int64 // everything between here and pos was given, and nothing else
	cut       bool
	lane      []private
	laneBytes int
	skipped   *deflate.Sum // of the text up to pos, of a log of Packed frames, when the frame right before was skipped
	parked    *Parked      // nil while a goroutine waits for Woken
}

// private is what happens to one reader alone, at its place between the shared frames: it gets a frame of its own, or
// skips some.
type private struct {
	at     int64       // position in the log at which it comes
	to     int64       // and at which the reader goes on: at, or behind the frames that it skips
	sum    deflate.Sum // of the log's text up to there
	frame  []byte
	own    deflate.Sum // of the frame's text
	offset uint64
	stamp  int64
}

func (p *private) skips() bool { return p.to > p.at }

// Batch is a run of bytes to send.
type Batch struct {
	Bytes  []byte // shared: not to be changed
	Frames int
	Offset uint64 // the log offset up to which the reader has been given everything; 0 when the batch has no offset
	Stamp  int64  // of its newest frame
	Lane   bool   // it is a frame of the reader's own (Private)

	// Of a log of Packed frames: Sum is of the text of the whole log up to the batch's end. Own is of the batch's own text
	// when it is not all that the log holds between the end of the last batch and there; else nil.
	Sum deflate.Sum
	Own *deflate.Sum
}

// Next returns what comes next and moves on; an empty Batch when there is nothing. ok is false when the reader was cut:
// it fell behind the log's limits, has been given nothing since, and starts again from the offset of its last batch.
func (r *Reader) Next() (batch Batch, ok bool) {
	l := r.log
	l.mu.Lock()
	defer l.mu.Unlock()
	if r.cut {
		return Batch{}, false
	}
	limit := l.end
	for len(r.lane) > 0 {
		first := r.lane[0]
		if first.at > r.pos {
			limit = first.at
			break
		}
		r.lane = slices.Delete(r.lane, 0, 1)
		if first.skips() {
			r.jump(first.to, first.sum)
			continue
		}
		r.laneBytes -= len(first.frame)
		r.since = r.pos
		batch = Batch{Bytes: first.frame, Frames: 1, Offset: first.offset, Stamp: first.stamp, Lane: true, Sum: first.sum}
		if own := first.own; own != (deflate.Sum{}) {
			batch.Own = &own
		}
		return batch, true
	}
	if r.pos == limit {
		return Batch{}, true
	}
	b := l.find(r.pos)
	limit = min(limit, b.end())
	first := sort.Search(len(b.marks), func(i int) bool { return b.marks[i].end > r.pos })
	behind := sort.Search(len(b.marks), func(i int) bool { return b.marks[i].end > limit })
	if len(b.behind) > 0 {
		behind, batch.Bytes = b.form(first, behind, r.since)
		limit = b.marks[behind-1].end
	}
	if batch.Bytes == nil {
		batch.Bytes = b.buf[r.pos-b.start : limit-b.start : limit-b.start]
	}
	batch.Frames, batch.Stamp = behind-first, b.marks[behind-1].stamp
	for i := first; i < behind; i++ {
		batch.Offset = max(batch.Offset, b.marks[i].offset)
	}
	if len(b.packs) > 0 {
		batch.Sum = b.packs[behind-1].sum
	}
	if r.skipped != nil {
		own := batch.Sum.Since(*r.skipped)
		batch.Own, r.skipped = &own, nil
	}
	if r.pos = limit; limit == l.end {
		l.forget()
	}
	return batch, true
}

// form returns the frames from first up to behind in their other form when a reader that has everything since a position
// can take it; else nil, and where the frames that it cannot take end.
func (b *block) form(first, behind int, since int64) (end int, text []byte) {
	if b.packs[first].from < since {
		able := sort.Search(behind-first, func(i int) bool { return b.packs[first+i].from >= since })
		return first + able, nil
	}
	start, stop := 0, b.packs[behind-1].end
	if first > 0 {
		start = b.packs[first-1].end
	}
	return behind, b.behind[start:stop:stop]
}

// Interrupt says that the reader is given something that is not the log's.
func (r *Reader) Interrupt() {
	r.log.mu.Lock()
	defer r.log.mu.Unlock()
	r.since = r.pos
}

// Private adds a frame for this reader alone behind all that has been appended to the log so far. The goroutine that
// appends calls it, so the order is the log's. A lane beyond the log's limits cuts the reader. own is the sum of the text
// of a packed frame.
func (r *Reader) Private(frame []byte, own deflate.Sum, offset uint64, stamp int64) {
	l := r.log
	l.mu.Lock()
	defer l.mu.Unlock()
	if r.fits() {
		r.lane = append(r.lane, private{at: l.end, to: l.end, sum: l.sum, frame: frame, own: own, offset: offset, stamp: stamp})
		r.laneBytes += len(frame)
	}
}

// fits reports whether the lane takes one more, and cuts the reader if not.
func (r *Reader) fits() bool {
	if l := r.log; len(r.lane) >= l.limits.Frames || r.laneBytes >= l.limits.Bytes {
		r.drop()
	}
	return !r.cut
}

// skip keeps the newest frame, which begins at from, from the reader. It runs in the same step as the append: a reader
// that is busy would have taken the frame before a later one.
func (r *Reader) skip(from int64) {
	l := r.log
	last := len(r.lane) - 1
	switch {
	case r.pos == from && last < 0:
		r.jump(l.end, l.sum)
	case last >= 0 && r.lane[last].skips() && r.lane[last].to == from:
		r.lane[last].to, r.lane[last].sum = l.end, l.sum
	case r.fits():
		r.lane = append(r.lane, private{at: from, to: l.end, sum: l.sum})
	}
}

// jump moves on over what the reader is not given: to a position, and the sum of the text up to there.
func (r *Reader) jump(to int64, sum deflate.Sum) {
	r.pos, r.since = to, to
	if packed := sum; packed != (deflate.Sum{}) {
		r.skipped = &packed
	}
	if to == r.log.end {
		r.log.forget()
	}
}

// Cut reports whether the reader fell behind the log's limits.
func (r *Reader) Cut() bool {
	r.log.mu.Lock()
	defer r.log.mu.Unlock()
	return r.cut
}

// Pending returns how many bytes wait for the reader.
func (r *Reader) Pending() int64 {
	r.log.mu.Lock()
	defer r.log.mu.Unlock()
	if r.cut {
		return 0
	}
	pending := r.log.end - r.pos + int64(r.laneBytes)
	for i := range r.lane {
		pending -= r.lane[i].to - r.lane[i].at
	}
	return pending
}

// Leave ends the reader; calling it again is harmless.
func (r *Reader) Leave() {
	l := r.log
	l.mu.Lock()
	defer l.mu.Unlock()
	if r.index < 0 {
		return
	}
	last := len(l.readers) - 1
	l.readers[r.index] = l.readers[last]
	l.readers[r.index].index = r.index
	l.readers[last] = nil
	l.readers = l.readers[:last]
	r.drop()
	r.index = -1
}

// Woken is readable when there is something to read. Nobody waits for it once the reader is parked.
func (r *Reader) Woken() <-chan struct{} { return r.wake }

// park lets p's shard be woken in the place of who waits for Woken.
func (r *Reader) park(p *Parked) {
	r.log.mu.Lock()
	defer r.log.mu.Unlock()
	r.wake, r.parked = nil, p
}

// Unpark undoes Park for a reader whose socket was released and that was not cut: Woken is to be waited for again.
func (r *Reader) Unpark() {
	r.log.mu.Lock()
	defer r.log.mu.Unlock()
	r.wake, r.parked = make(chan struct{}, 1), nil
	r.signal() // for what came meanwhile
}

// Wake says that there is something to read for this reader alone.
func (r *Reader) Wake() {
	r.log.mu.Lock()
	defer r.log.mu.Unlock()
	if r.parked != nil {
		r.parked.news()
		return
	}
	r.signal()
}

// signal makes Woken readable; a parked reader is its shard's to wake.
func (r *Reader) signal() {
	if r.wake == nil {
		return
	}
	select {
	case r.wake <- struct{}{}:
	default: // it is already
	}
}

func (r *Reader) drop() { r.cut, r.lane, r.laneBytes, r.skipped = true, nil, 0, nil }
