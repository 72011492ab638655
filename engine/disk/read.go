package disk

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/cockroachdb/pebble/v2"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/engine"
)

// A Read goes in chunks that grow from firstChunk to maxChunk events. Between chunks it holds nothing of the store: a
// slow caller keeps no old files alive and does not stop Close.
const (
	firstChunk    = 32
	maxChunk      = 512
	maxChunkBytes = 1 << 20
)

// Read yields the events that query selects, as engine.Log says.
func (e *Engine) Read(ctx context.Context, tenant string, query engine.Query) iter.Seq2[roxy.Event, error] {
	t, err := e.load(tenant)
	var head uint64
	var epoch string
	if err == nil {
		if b := t.durable.Load(); b != nil {
			head, epoch = b.Head, b.Epoch
		}
	}
	return func(yield func(roxy.Event, error) bool) {
		if err != nil {
			yield(roxy.Event{}, fmt.Errorf("read %s: %w", tenant, err))
			return
		}
		r := reader{e: e, t: t, epoch: epoch, next: query.After + 1, until: head, decoder: engine.NewDecoder()}
		if query.Until != 0 {
			r.until = min(head, query.Until)
		}
		if len(query.Topics) > 0 {
			r.topics = slices.Clone(query.Topics)
			slices.SortFunc(r.topics, func(a, b roxy.Topic) int { return strings.Compare(a.String(), b.String()) })
			r.topics = slices.Compact(r.topics)
		}
		if err := r.run(ctx, yield); err != nil {
			yield(roxy.Event{}, fmt.Errorf("read %s: %w", tenant, err))
		}
	}
}

// reader is one Read under way.
type reader struct {
	e       *Engine
	t       *tenant
	epoch   string // of the life of the log that is read
	next    uint64 // all before it was yielded, or is not wanted
	until   uint64
	topics  []roxy.Topic // sorted; empty for all
	offsets []uint64     // found in the index and not yet read
	decoder *engine.Decoder
	chunk   []roxy.Event
	key     []byte
}

// run yields chunk after chunk. It returns an error only when yield may still be called with it.
func (r *reader) run(ctx context.Context, yield func(roxy.Event, error) bool) error {
	if err := r.checkRetained(); err != nil {
		return err
	}
	for size := firstChunk; r.next <= r.until || len(r.offsets) > 0; size = min(2*size, maxChunk) {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		// What was read before an error is good and is yielded first.
		readErr := r.fill(ctx, size)
		r.e.stats.records.Add(uint64(len(r.chunk)))
		for _, ev := range r.chunk {
			if !yield(ev, nil) {
				return nil
			}
		}
		if readErr != nil {
			return readErr
		}
	}
	return nil
}

// checkRetained returns ErrTrimmed when the next event wanted is no longer there. The mark is moved before a trim
// becomes visible, so whoever misses an event finds out here whether it was trimmed.
func (r *reader) checkRetained() error {
	if first := r.t.trimmedTo.Load() + 1; r.next < first {
		return fmt.Errorf("%w: after %d, the oldest is %d", engine.ErrTrimmed, r.next-1, first)
	}
	if b := r.t.durable.Load(); b != nil && b.Epoch != r.epoch {
		return fmt.Errorf("%w: epoch %s of the log is over", engine.ErrTrimmed, r.epoch)
	}
	return nil
}

// missing tells why there is no event at offset: it was trimmed, or it was lost.
func (r *reader) missing(offset uint64) error {
	if err := r.checkRetained(); err != nil {
		return err
	}
	return fmt.Errorf("%w: event %d is missing", engine.ErrCorrupt, offset)
}

// fill reads the next chunk, of at most size events.
func (r *reader) fill(ctx context.Context, size int) error {
	r.chunk = r.chunk[:0]
	leave, err := r.e.enter()
	if err != nil {
		return err
	}
	defer leave()
	if len(r.topics) == 0 {
		return r.scan(size)
	}
	if len(r.offsets) == 0 {
		if err := r.findOffsets(ctx); err != nil {
			return err
		}
	}
	return r.fetch(size)
}

// scan reads the log from next on and insists on every offset.
func (r *reader) scan(size int) (err error) {
	it, err := r.e.db.NewIter(&pebble.IterOptions{
		LowerBound: logKey(r.t.name, r.next), UpperBound: logKey(r.t.name, r.until+1),
	})
	if err != nil {
		return storeError(err)
	}
	defer func() {
		if cerr := it.Close(); err == nil {
			err = storeError(cerr)
		}
	}()
	bytes := 0
	for ok := it.First(); r.next <= r.until && len(r.chunk) < size && bytes < maxChunkBytes; ok = it.Next() {
		if !ok {
			if err := it.Error(); err != nil {
				return storeError(err)
			}
			return r.missing(r.next)
		}
		bytes += len(it.Value())
		if err := r.take(it, r.next); err != nil {
			return err
		}
		r.next++
	}
	return nil
}

// take decodes the record under it, which has to be the one at offset, to the end of the chunk.
func (r *reader) take(it *pebble.Iterator, offset uint64) error {
	if logOffset(it.Key()) != offset {
		return r.missing(offset)
	}
	r.chunk = append(r.chunk, roxy.Event{})
	ev := &r.chunk[len(r.chunk)-1]
	err := r.decoder.Decode(it.Value(), ev)
	if err == nil && ev.Offset != offset {
		err = fmt.Errorf("%w: event %d stands in the place of %d", engine.ErrCorrupt, ev.Offset, offset)
	}
	if err != nil {
		r.chunk = r.chunk[:len(r.chunk)-1]
	}
	return err
}

// findOffsets looks the topics up in the index, segment by segment, until one holds some of them. It moves next
// behind what it has looked at.
func (r *reader) findOffsets(ctx context.Context) (err error) {
	it, err := r.e.db.NewIter(&pebble.IterOptions{
		LowerBound: appendSegmentKey(nil, r.t.name, r.next>>segmentBits),
		UpperBound: appendSegmentKey(nil, r.t.name, r.until>>segmentBits+1),
	})
	if err != nil {
		return storeError(err)
	}
	defer func() {
		if cerr := it.Close(); err == nil {
			err = storeError(cerr)
		}
	}()
	from := r.next
	for from <= r.until && len(r.offsets) == 0 {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		segment := from >> segmentBits
		for _, topic := range r.topics {
			if err := r.findTopic(it, topic, from); err != nil {
				return err
			}
		}
		from = (segment + 1) << segmentBits
	}
	// A trim takes whole segments out of the index, and what is not there cannot be missed.
	if err := r.checkRetained(); err != nil {
		return err
	}
	slices.Sort(r.offsets)
	r.next = from
	return nil
}

// findTopic appends the topic's offsets in the segment of from, from there on.
func (r *reader) findTopic(it *pebble.Iterator, topic roxy.Topic, from uint64) error {
	r.key = appendTopicKey(r.key[:0], r.t.name, topic, from)
	prefix := string(r.key[:len(r.key)-2])
	base := from >> segmentBits << segmentBits
	for ok := it.SeekGE(r.key); ok; ok = it.Next() {
		key := it.Key()
		if len(key) != len(prefix)+2 || string(key[:len(prefix)]) != prefix {
			break
		}
		offset := base | indexedLow(key)
		if offset > r.until {
			break
		}
		r.offsets = append(r.offsets, offset)
	}
	return storeError(it.Error())
}

// fetch reads the events at the first of the offsets found.
func (r *reader) fetch(size int) (err error) {
	if len(r.offsets) == 0 {
		return nil
	}
	it, err := r.e.db.NewIter(logRange(r.t.name))
	if err != nil {
		return storeError(err)
	}
	defer func() {
		if cerr := it.Close(); err == nil {
			err = storeError(cerr)
		}
	}()
	bytes := 0
	var last uint64
	for len(r.offsets) > 0 && len(r.chunk) < size && bytes < maxChunkBytes {
		offset := r.offsets[0]
		var ok bool
		if last != 0 && offset == last+1 {
			ok = it.Next()
		} else {
			r.key = appendLogKey(r.key[:0], r.t.name, offset)
			ok = it.SeekGE(r.key)
		}
		if !ok {
			if err := it.Error(); err != nil {
				return storeError(err)
			}
			return r.lost(offset)
		}
		if logOffset(it.Key()) != offset {
			return r.lost(offset)
		}
		bytes += len(it.Value())
		if err := r.take(it, offset); err != nil {
			return err
		}
		if ev := &r.chunk[len(r.chunk)-1]; !slices.Contains(r.topics, ev.Topic) {
			r.chunk = r.chunk[:len(r.chunk)-1]
			return fmt.Errorf("%w: the index has event %d under another topic than its own", engine.ErrCorrupt, offset)
		}
		last = offset
		r.offsets = r.offsets[1:]
	}
	return nil
}

// lost tells why an event of the index is not in the log.
func (r *reader) lost(offset uint64) error {
	r.next = offset
	return r.missing(offset)
}
