package hub

import (
	"sort"
	"sync"
	"sync/atomic"
	"time"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/internal/deflate"
)

// What a stretch of a log is for a class is spelled once for all of its streams that come back at the same time. A stream
// that nobody follows spells for itself, into memory that it uses again.
const (
	transcriptLife  = 2 * time.Second
	transcriptsKept = 16 << 20 // bytes; beyond it streams spell for themselves
	transcriptBytes = 512      // what one takes that holds nothing
	lineBytes       = 24       // what a line takes beside its text
	piecesKept      = 16       // compressed pieces of a transcript: streams that resume at much the same place take the same
)

// transcripts are those in use.
type transcripts struct {
	alone  atomic.Uint64 // stretches that a stream spelled for itself
	shared atomic.Uint64 // and those that it was given as spelled for its class

	mu    sync.Mutex
	known map[transcriptKey]*transcript
	bytes int // of those known
}

type transcriptKey struct {
	chunk chunkKey
	epoch string // which the text holds
	class string
}

// transcript is what the streams of a class are given of a stretch, as far as one of them has come. Its text only grows, so
// that what was given out of it stays valid.
type transcript struct {
	key   transcriptKey
	first *stream // who asked first, and may ask again
	size  int     // what it counts for while it is known; guarded by transcripts.mu

	mu     sync.Mutex
	begun  bool
	from   uint64 // it begins behind this offset
	until  uint64 // and goes up to this one
	text   []byte
	lines  []line
	pieces map[piece]packedPiece
}

// line is an event in a transcript.
type line struct {
	event *roxy.Event
	end   int  // of its text
	some  bool // not every stream of the class gets it, or not for ever
}

// isFor reports whether a stream of the class gets the event at now.
func (l *line) isFor(st *stream, now time.Time) bool {
	return !l.some || st.sub.takes(l.event) && !l.event.Expired(now)
}

// piece is a part of a transcript's text.
type piece struct{ from, end int }

type packedPiece struct {
	text []byte
	sum  deflate.Sum // of the plain text
}

func newTranscripts() *transcripts {
	return &transcripts{known: make(map[transcriptKey]*transcript)}
}

// of returns the transcript that st is to read; nil when st is the only one who wants it, or there is no room: then it
// spells for itself.
func (ts *transcripts) of(st *stream, key transcriptKey) *transcript {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	t := ts.known[key]
	if t == nil {
		t = ts.begin(&transcript{key: key, first: st})
	}
	if t == nil || t.first == st {
		return nil
	}
	return t
}

// again returns a transcript that begins where the stretch does, in place of t: somebody wants what lies before it. Nil as of.
func (ts *transcripts) again(t *transcript) *transcript {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if known := ts.known[t.key]; known != t && known != nil {
		return known
	}
	ts.forget(t)
	start := t.key.chunk.index * chunkEvents
	return ts.begin(&transcript{key: t.key, begun: true, from: start, until: start})
}

// begin has t known for a while, or returns nil when there is no room. It is called with mu held.
func (ts *transcripts) begin(t *transcript) *transcript {
	if ts.bytes+transcriptBytes > transcriptsKept {
		return nil
	}
	t.size, t.pieces = transcriptBytes, make(map[piece]packedPiece)
	ts.known[t.key] = t
	ts.bytes += t.size
	time.AfterFunc(transcriptLife, func() {
		ts.mu.Lock()
		defer ts.mu.Unlock()
		ts.forget(t)
	})
	return t
}

// forget lets go of t. It is called with mu held.
func (ts *transcripts) forget(t *transcript) {
	if ts.known[t.key] == t {
		delete(ts.known, t.key)
		ts.bytes -= t.size
	}
}

// grew counts what t takes more. Beyond what may be kept it is for those alone who have it.
func (ts *transcripts) grew(t *transcript, by int) {
	if by == 0 {
		return
	}
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if ts.known[t.key] != t {
		return
	}
	t.size += by
	if ts.bytes += by; ts.bytes > transcriptsKept {
		ts.forget(t)
	}
}

// held returns how many bytes those known take.
func (ts *transcripts) held() int64 {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	return int64(ts.bytes)
}

// passage is what a class is given of a part of a stretch.
type passage struct {
	of    *transcript
	text  []byte // of the transcript from its beginning: the lines' ends are places in it
	from  int    // where the first line begins
	lines []line
}

// transcriptKey is that of the first transcript of the stream's class.
func (st *stream) transcriptKey() transcriptKey {
	return transcriptKey{chunk: chunkKey{tenant: st.sub.Identity.Tenant}, epoch: st.epoch, class: classKey(&st.sub, st.views)}
}

// passage returns what the stream's class is given of s behind after, and how many lines had to be spelled for it; ok is
// false when the stream is to spell them for itself.
func (st *stream) passage(key transcriptKey, after uint64, s *stretch) (p passage, spelled int, ok bool) {
	if s.chunk == nil {
		return passage{}, 0, false
	}
	ts := st.hub.transcripts
	key.chunk.index = after / chunkEvents
	for t := ts.of(st, key); t != nil; t = ts.again(t) {
		var grown int
		if p, spelled, grown, ok = t.passage(st, after, s); ok {
			ts.grew(t, grown)
			break
		}
	}
	return p, spelled, ok
}

// passage spells what is missing up to the end of s. ok is false when t begins behind after.
func (t *transcript) passage(st *stream, after uint64, s *stretch) (p passage, spelled, grown int, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.begun {
		t.begun, t.from, t.until = true, after, after
	}
	if after < t.from {
		return passage{}, 0, 0, false
	}
	if t.until < s.until {
		before := t.bytes()
		spelled = t.spell(st, between(s.chunk.events, t.until, s.until))
		t.until, grown = s.until, t.bytes()-before
	}
	lo, hi := t.behind(after), t.behind(s.until)
	p = passage{of: t, text: t.text, lines: t.lines[lo:hi:hi]}
	if lo > 0 {
		p.from = t.lines[lo-1].end
	}
	return p, spelled, grown, true
}

// behind returns the first line behind an offset. Like those below it is called with mu held.
func (t *transcript) behind(offset uint64) int {
	return sort.Search(len(t.lines), func(i int) bool { return t.lines[i].event.Offset > offset })
}

func (t *transcript) bytes() int {
	return cap(t.text) + cap(t.lines)*lineBytes
}

// spell appends what of events some stream of st's class gets, and returns how many that are.
func (t *transcript) spell(st *stream, events []roxy.Event) (spelled int) {
	hidden := st.views.hiddenFrom(st.sub.Identity.Roles)
	var envelope []byte
	for i := range events {
		e := &events[i]
		everyone := e.To.Everyone() || e.To.IncludesRole(st.sub.Identity.Roles)
		if !st.sub.wants(e) || !everyone && len(e.To.Users) == 0 {
			continue
		}
		envelope = appendEnvelope(envelope[:0], e, st.cursor(e.Offset), st.views.view(st.views.on(e.Topic).and(hidden)))
		t.text = st.sub.Encoding.AppendEvent(t.text, st.cursor(e.Offset), e.Type, envelope)
		t.lines = append(t.lines, line{event: e, end: len(t.text), some: !everyone || e.Except != "" || e.TTL > 0})
		spelled++
	}
	return spelled
}

// pack returns a piece of the text as a fragment for any gzip stream, compressed once; ok is false when too many others
// were asked for.
func (ts *transcripts) pack(t *transcript, part piece) (packed packedPiece, ok bool) {
	t.mu.Lock()
	packed, ok = t.pieces[part]
	grown := 0
	if !ok && len(t.pieces) < piecesKept {
		text := t.text[part.from:part.end]
		packed, ok = packedPiece{packAlone(nil, text), deflate.Sum{}.With(text)}, true
		t.pieces[part] = packed
		grown = cap(packed.text)
	}
	t.mu.Unlock()
	ts.grew(t, grown)
	return packed, ok
}
