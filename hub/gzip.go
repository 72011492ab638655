package hub

import (
	"slices"
	"time"

	"github.com/roxyhub/roxy/internal/deflate"
	"github.com/roxyhub/roxy/internal/fanout"
)

// smallClass is how many streams a class needs for its events to be compressed: for fewer the time that it takes is
// worth more than the bytes. Theirs are stored, which any gzip client reads as well.
const smallClass = 4

// epochIdle ends a class's window: behind it streams had their heartbeats, each at its own time, and have no window in
// common any more.
const epochIdle = 5 * time.Second

// gzipStream is the member that one stream's bytes make up (RFC 1952): fragments of its class, and of its own between
// them. What it is given of the class is summed by the class, not for each stream.
type gzipStream struct {
	begun bool
	total deflate.Sum // of all text before the class's run in hand
	base  deflate.Sum // the class's sum where that run began
	last  deflate.Sum // and up to where it was given
}

// follow begins a run of the class's fragments, at its sum.
func (g *gzipStream) follow(class deflate.Sum) {
	g.interrupt()
	g.base, g.last = class, class
}

// interrupt ends the run in hand, and begins the next where it ended.
func (g *gzipStream) interrupt() {
	g.total = g.total.Then(g.last.Since(g.base))
	g.base = g.last
}

// gave counts a batch of the class's log.
func (g *gzipStream) gave(batch *fanout.Batch) {
	if batch.Own != nil {
		g.interrupt()
		g.total, g.base = g.total.Then(*batch.Own), batch.Sum
	}
	g.last = batch.Sum
}

// pack appends text that is the stream's own.
func (g *gzipStream) pack(dst, text []byte) []byte {
	g.interrupt()
	g.total = g.total.With(text)
	if !g.begun {
		g.begun = true
		dst = append(dst, deflate.Header...)
	}
	return packAlone(dst, text)
}

// gaveAlone counts a fragment that was compressed for any stream, by the sum of its text. The stream has begun.
func (g *gzipStream) gaveAlone(text deflate.Sum) {
	g.interrupt()
	g.total = g.total.Then(text)
}

// end appends what makes the stream complete.
func (g *gzipStream) end(dst []byte) []byte {
	g.interrupt()
	return g.total.AppendTrailer(dst)
}

// pack returns p, text of the stream's own, as it goes out: p itself, or appended to dst.
func (st *stream) pack(dst, p []byte) []byte {
	if st.gzip == nil {
		return p
	}
	if st.reader != nil {
		st.reader.Interrupt()
	}
	return st.gzip.pack(dst, p)
}

// gave notes a batch of the class's log that was given.
func (st *stream) gave(batch *fanout.Batch) {
	if st.gzip != nil {
		st.gzip.gave(batch)
	}
	st.advance(batch.Offset)
	if batch.Lane && st.device != nil {
		st.wrote(true)
	}
}

func packAlone(dst, text []byte) []byte {
	if len(text) < deflate.Worthwhile {
		return deflate.AppendStored(dst, text)
	}
	return deflate.Append(dst, nil, text)
}

// gzipClass compresses the events of a class, each once for all of its streams.
type gzipClass struct {
	sum    deflate.Sum // of all that was appended
	end    int64       // the log's
	window []byte      // the newest text
	frames []windowed  // of which the window holds something, oldest first
	last   int64       // when the newest came, Unix ns
}

// windowed is an event in the window.
type windowed struct {
	from int64 // its position in the log
	n    int   // its bytes
}

// pack returns text in the forms that the streams of a class can take. alone is its form for any of them, nil when
// there are too few to compress for. dst is memory for the other.
func (g *gzipClass) pack(dst, text, alone []byte, stamp int64) fanout.Packed {
	g.sum = g.sum.With(text)
	frame := fanout.Packed{Alone: alone, From: g.end, Sum: g.sum}
	if alone == nil {
		g.window, g.frames = nil, nil
		frame.Alone = deflate.AppendStored(dst, text)
		return frame
	}
	if stamp-g.last > int64(epochIdle) {
		g.window, g.frames = g.window[:0], g.frames[:0]
	}
	g.last = stamp
	if len(g.frames) > 0 {
		frame.From = g.frames[0].from
	}
	frame.Behind = deflate.Append(dst, g.window, text)
	g.remember(text)
	return frame
}

// remember moves the window on.
func (g *gzipClass) remember(text []byte) {
	g.window = append(g.window, text...)
	g.frames = append(g.frames, windowed{g.end, len(text)})
	over := max(0, len(g.window)-deflate.Window)
	g.window = g.window[:copy(g.window, g.window[over:])]
	held := len(g.window) // an event of which the last bytes are left is still in it
	for i, f := range slices.Backward(g.frames) {
		if held -= f.n; held <= 0 {
			g.frames = g.frames[:copy(g.frames, g.frames[i:])]
			return
		}
	}
}
