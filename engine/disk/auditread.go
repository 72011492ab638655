package disk

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"math"
	"slices"
	"strings"

	"github.com/cockroachdb/pebble/v2"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/engine"
)

// A read of a trail goes in chunks, as one of the log does: of at least one block, and then until it has found or looked
// at so much.
const (
	auditChunk      = 512
	auditChunkBytes = 1 << 20
	auditScanBytes  = 8 << 20
)

// Audited yields the rows that query selects, as engine.Audit says.
func (e *Engine) Audited(ctx context.Context, tenant string, query engine.AuditQuery) iter.Seq2[roxy.AuditEntry, error] {
	t, err := e.load(tenant)
	var until engine.AuditBounds
	if err == nil {
		if b := t.trail.durable.Load(); b != nil {
			until = *b
		}
	}
	return func(yield func(roxy.AuditEntry, error) bool) {
		if err == nil {
			r := newTrailReader(e, t, until, query)
			err = r.run(ctx, yield)
		}
		if err != nil {
			yield(roxy.AuditEntry{}, fmt.Errorf("read the audit of %s: %w", tenant, err))
		}
	}
}

// trailReader is one Audited under way.
type trailReader struct {
	e       *Engine
	t       *tenant
	query   engine.AuditQuery
	match   auditMatch
	low     uint64 // rows from low to high were not looked at yet
	high    uint64
	started bool
	chunk   []roxy.AuditEntry
	spell   auditSpeller
}

func newTrailReader(e *Engine, t *tenant, until engine.AuditBounds, query engine.AuditQuery) *trailReader {
	r := &trailReader{e: e, t: t, query: query, match: newAuditMatch(&query), low: max(until.First, 1), high: until.Head}
	if query.After != math.MaxUint64 {
		r.low = max(r.low, query.After+1)
	} else {
		r.high = 0
	}
	if query.Before > 0 {
		r.high = min(r.high, query.Before-1)
	}
	return r
}

// run yields chunk after chunk. It returns an error only when yield may still be called with it.
func (r *trailReader) run(ctx context.Context, yield func(roxy.AuditEntry, error) bool) error {
	for r.low <= r.high {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		// What was read before an error is good and is yielded first.
		readErr := r.fill()
		for i := range r.chunk {
			if !yield(r.chunk[i], nil) {
				return nil
			}
		}
		if readErr != nil {
			return readErr
		}
	}
	return nil
}

// fill reads the next chunk and moves low or high behind it.
func (r *trailReader) fill() (err error) {
	r.chunk = nil // the last one is the caller's
	leave, err := r.e.enter()
	if err != nil {
		return err
	}
	defer leave()
	it, err := r.e.db.NewIter(auditRange(r.t.name))
	if err != nil {
		return storeError(err)
	}
	defer func() {
		if cerr := it.Close(); err == nil {
			err = storeError(cerr)
		}
	}()
	if !r.started {
		if err := r.narrow(it); err != nil || r.low > r.high {
			return err
		}
		r.started = true
	}
	ok := seekAudit(it, r.t.name, r.low)
	move := it.Next
	if r.query.Backwards {
		ok = it.SeekLT(auditKey(r.t.name, r.high+1))
		move = it.Prev
	}
	found, scanned := 0, 0
	for ; r.low <= r.high && len(r.chunk) < auditChunk && found < auditChunkBytes && scanned < auditScanBytes; ok = move() {
		if !ok {
			if err := it.Error(); err != nil {
				return storeError(err)
			}
			return r.missing()
		}
		b, err := auditAt(it)
		if err != nil {
			return err
		}
		if err := r.fits(&b); err != nil {
			return err
		}
		found += r.take(&b)
		scanned += len(b.rows)
		if r.query.Backwards {
			r.high = b.first - 1
		} else {
			r.low = b.last() + 1
		}
	}
	return nil
}

// seekAudit moves it to the block that holds the row seq, or to the first when all are behind it.
func seekAudit(it *pebble.Iterator, name string, seq uint64) bool {
	return it.SeekLT(auditKey(name, seq+1)) || it.Error() == nil && it.First()
}

// narrow moves low and high to what the query's times allow.
func (r *trailReader) narrow(it *pebble.Iterator) error {
	if !r.query.From.IsZero() {
		from, err := auditSince(it, r.t.name, r.low, r.high, r.query.From.UnixNano())
		if err != nil {
			return err
		}
		r.low = from
	}
	if !r.query.To.IsZero() && r.low <= r.high {
		to, err := auditSince(it, r.t.name, r.low, r.high, r.query.To.UnixNano())
		if err != nil {
			return err
		}
		r.high = to - 1
	}
	return nil
}

// auditSince returns the first row of low to high noted at that time or later, high+1 for none: times never decrease, so
// a few dozen blocks tell.
func auditSince(it *pebble.Iterator, name string, low, high uint64, nanos int64) (uint64, error) {
	return bisectAudit(it, name, low, high, func(b *auditBlock) bool { return b.time >= nanos })
}

// bisectAudit returns the first row of low to high whose block satisfies reached, high+1 for none. From the first that
// satisfies it on, all do.
func bisectAudit(it *pebble.Iterator, name string, low, high uint64, reached func(*auditBlock) bool) (uint64, error) {
	for end := high + 1; low < end; {
		mid := low + (end-low)/2
		if !seekAudit(it, name, mid) {
			return low, storeError(it.Error()) // all was forgotten
		}
		b, err := auditAt(it)
		switch {
		case err != nil:
			return 0, err
		case reached(&b):
			end = min(mid, max(low, b.first))
		default:
			low = max(mid+1, min(end, b.last()+1))
		}
	}
	return low, nil
}

// fits insists on every row: b must hold the next one wanted. What retention took meanwhile is passed over; the mark is
// moved before that becomes visible.
func (r *trailReader) fits(b *auditBlock) error {
	want := r.low
	if r.query.Backwards {
		want = r.high
	}
	if b.first <= want && want <= b.last() || want < b.first && b.first == r.t.trail.forgotten.Load() {
		return nil
	}
	return fmt.Errorf("%w: row %d of the audit is missing", engine.ErrCorrupt, want)
}

// missing tells why there is no block where rows should be: they were forgotten, or lost.
func (r *trailReader) missing() error {
	if r.high < r.t.trail.forgotten.Load() {
		r.high = 0
		return nil
	}
	return fmt.Errorf("%w: the rows %d to %d of the audit are missing", engine.ErrCorrupt, r.low, r.high)
}

// take appends the rows of b that the query selects to the chunk and returns how many bytes they have.
func (r *trailReader) take(b *auditBlock) (size int) {
	if b.count == 0 || !r.match.some(b.rows) {
		return 0
	}
	start := len(r.chunk)
	r.spell.at(b.time)
	hash, rows := b.prev, b.rows
	for seq := b.first; len(rows) > 0 && seq <= r.high; seq++ {
		var rest, text []byte
		rest, rows = nextAuditRow(rows)
		text, hash = r.spell.row(&hash, seq, rest)
		if seq >= r.low && r.match.row(rest) {
			r.chunk = append(r.chunk, roxy.AuditEntry{Seq: seq, JSON: bytes.Clone(text), Hash: hash})
			size += len(text)
		}
	}
	if r.query.Backwards {
		slices.Reverse(r.chunk[start:])
	}
	return size
}

// auditMatch tells by a row's bytes whether a query selects it: a million are passed over in the time that decoding
// some thousands takes.
type auditMatch struct {
	all   [][]byte // each of them is in the row
	kinds [][]byte // and one of them, unless there is none
	topic roxy.Pattern
	tail  []byte // that such a topic ends with
}

func newAuditMatch(q *engine.AuditQuery) (m auditMatch) {
	topic, one := q.Topic.Topic()
	if !one {
		m.topic = q.Topic
	}
	if !one && q.Topic != (roxy.Pattern{}) { // what stands around the wildcards spares most rows the parsing
		text := q.Topic.String()
		if head := text[:strings.IndexByte(text, '*')]; head != "" && text != head+"**" { // a/** has the topic a, too
			m.all = append(m.all, append([]byte(topicMember), head...))
		}
		m.tail = []byte(text[strings.LastIndexByte(text, '*')+1:])
	}
	for _, member := range [...]struct{ name, value string }{
		{"correlation", q.Correlation}, {"event", q.Event}, {"device", q.Device}, {"user", q.User}, {"topic", topic.String()},
	} {
		if member.value != "" {
			m.all = append(m.all, roxy.AuditMember(member.name, member.value))
		}
	}
	for _, kind := range q.Kinds {
		m.kinds = append(m.kinds, roxy.AuditMember("kind", string(kind)))
	}
	return m
}

// topicMember begins the member topic.
const topicMember = `"topic":"`

// some reports whether one of the rows may be selected.
func (m *auditMatch) some(rows []byte) bool {
	for _, member := range m.all {
		if !bytes.Contains(rows, member) {
			return false
		}
	}
	return len(m.kinds) == 0 || slices.ContainsFunc(m.kinds, func(kind []byte) bool { return bytes.Contains(rows, kind) })
}

// row reports whether the row is selected.
func (m *auditMatch) row(rest []byte) bool {
	if !m.some(rest) {
		return false
	}
	if m.topic == (roxy.Pattern{}) {
		return true
	}
	_, behind, found := bytes.Cut(rest, []byte(topicMember))
	if !found {
		return false
	}
	text, _, _ := bytes.Cut(behind, []byte{'"'}) // no topic has a character that is escaped
	if !bytes.HasSuffix(text, m.tail) {
		return false
	}
	topic, err := roxy.ParseTopic(string(text))
	return err == nil && m.topic.Matches(topic)
}
