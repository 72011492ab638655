package engine

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"time"

	"github.com/roxyhub/roxy"
)

// A record is one event as an engine stores it:
//
//	version 1 · flags 1 · offset 8 · time 8 · total 8 (big-endian, time in Unix nanoseconds)
//	ttl, when flagged · topic · type · by · audience, when flagged
//	the lengths of id, correlation, except and traceparent, then their bytes
//	change, when flagged: op 1 · version · mutation · patch · undo
//	ack, when flagged: by 1 · within · attempts
//	data · CRC-32C of all before, 4
//
// Lengths and ttl are uvarints; a string is its length and its bytes; an audience is one string that holds the number
// of roles, the roles and the users. The first 26 bytes stay where they are, so that a record can be encoded before
// its place in the log is known, and its place read without decoding the rest.
const (
	recordVersion = 1
	recordStamp   = 26 // bytes up to and including total
	recordCRC     = 4

	flagTTL    = 1 << 0
	flagTo     = 1 << 1
	flagUrgent = 1 << 2
	flagChange = 1 << 3
	flagAck    = 1 << 4
	flagsKnown = flagTTL | flagTo | flagUrgent | flagChange | flagAck
)

// Stamp is a record's place in its tenant's log. Offset and Total grow with every record and Time never decreases, so
// retention finds its cut by bisection.
type Stamp struct {
	Offset uint64
	Time   time.Time
	Total  uint64 // bytes of all records of the tenant up to and including this one, those trimmed since included
}

// AppendRecord appends what the publisher set of e, and By, as a record without a stamp: StampRecord gives it one.
func AppendRecord(dst []byte, e *roxy.Event) []byte {
	var flags byte
	if e.TTL != 0 {
		flags |= flagTTL
	}
	if !e.To.Everyone() {
		flags |= flagTo
	}
	if e.Urgent {
		flags |= flagUrgent
	}
	if e.Change != nil {
		flags |= flagChange
	}
	if e.Ack != nil {
		flags |= flagAck
	}
	dst = append(dst, recordVersion, flags)
	dst = append(dst, make([]byte, recordStamp-2)...)
	if e.TTL != 0 {
		dst = binary.AppendUvarint(dst, uint64(e.TTL)) //nolint:gosec // the decoder turns it back; Check refuses negative ones
	}
	dst = appendString(dst, e.Topic.String())
	dst = appendString(dst, e.Type)
	dst = appendString(dst, e.By)
	if flags&flagTo != 0 {
		dst = appendAudience(dst, e.To)
	}
	own := [...]string{e.ID, e.Correlation, e.Except, e.TraceParent}
	for _, s := range own {
		dst = binary.AppendUvarint(dst, uint64(len(s)))
	}
	for _, s := range own {
		dst = append(dst, s...)
	}
	if e.Change != nil {
		dst = appendChange(dst, e.Change)
	}
	if e.Ack != nil {
		dst = appendAck(dst, e.Ack)
	}
	dst = binary.AppendUvarint(dst, uint64(len(e.Data)))
	dst = append(dst, e.Data...)
	return append(dst, make([]byte, recordCRC)...)
}

// RecordData returns the payload of size n inside a record of AppendRecord, nil when n is 0. It shares the record's
// bytes, which StampRecord leaves alone.
func RecordData(record []byte, n int) []byte {
	if n == 0 {
		return nil
	}
	end := len(record) - recordCRC
	return record[end-n : end : end]
}

// StampRecord writes a record's place and its checksum.
func StampRecord(record []byte, s Stamp) {
	binary.BigEndian.PutUint64(record[2:], s.Offset)
	binary.BigEndian.PutUint64(record[10:], uint64(s.Time.UnixNano()))
	binary.BigEndian.PutUint64(record[18:], s.Total)
	end := len(record) - recordCRC
	binary.BigEndian.PutUint32(record[end:], crc32.Checksum(record[:end], castagnoli()))
}

// ReadStamp returns a record's place, or ErrCorrupt when the record is not what was written.
func ReadStamp(record []byte) (Stamp, error) {
	if len(record) < recordStamp+recordCRC {
		return Stamp{}, fmt.Errorf("%w: a record of %d bytes", ErrCorrupt, len(record))
	}
	end := len(record) - recordCRC
	if got, want := crc32.Checksum(record[:end], castagnoli()), binary.BigEndian.Uint32(record[end:]); got != want {
		return Stamp{}, fmt.Errorf("%w: a record with checksum %08x instead of %08x", ErrCorrupt, got, want)
	}
	if v := record[0]; v != recordVersion {
		return Stamp{}, fmt.Errorf("%w: a record of version %d, this hub reads %d", ErrCorrupt, v, recordVersion)
	}
	return Stamp{
		Offset: binary.BigEndian.Uint64(record[2:]),
		Time:   time.Unix(0, int64(binary.BigEndian.Uint64(record[10:]))).UTC(), //nolint:gosec // as StampRecord wrote it
		Total:  binary.BigEndian.Uint64(record[18:]),
	}, nil
}

// castagnoli returns the table for which processors have an instruction. It is computed once by the standard library.
func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

// maxInterned bounds each of a Decoder's tables: 4,096 topics of 40 bytes are about half a megabyte.
const maxInterned = 4096

// Decoder turns records back into events. It keeps the topics, types, users and audiences it has seen, so that
// a scan allocates about once per event, for the payload. It is for one goroutine at a time.
type Decoder struct {
	topics    map[string]roxy.Topic
	names     map[string]string
	audiences map[string]roxy.Audience
}

// NewDecoder returns a Decoder that has seen nothing.
func NewDecoder() *Decoder {
	return &Decoder{
		topics:    make(map[string]roxy.Topic),
		names:     make(map[string]string),
		audiences: make(map[string]roxy.Audience),
	}
}

// Decode sets e to the record's event. e shares nothing with record. The error wraps ErrCorrupt, and then e is of no
// use.
func (d *Decoder) Decode(record []byte, e *roxy.Event) error {
	stamp, err := ReadStamp(record)
	if err != nil {
		return err
	}
	if err := d.decode(record, stamp, e); err != nil {
		return fmt.Errorf("%w: record %d: %w", ErrCorrupt, stamp.Offset, err)
	}
	return nil
}

func (d *Decoder) decode(record []byte, stamp Stamp, e *roxy.Event) error {
	flags := record[1]
	if flags&^flagsKnown != 0 {
		return fmt.Errorf("unknown flags %02x", flags)
	}
	*e = roxy.Event{Offset: stamp.Offset, Time: stamp.Time, Urgent: flags&flagUrgent != 0}
	r := fields{rest: record[recordStamp : len(record)-recordCRC]}
	if flags&flagTTL != 0 {
		e.TTL = time.Duration(r.uvarint()) //nolint:gosec // as AppendRecord wrote it
	}
	topic, kind, by := r.bytes(), r.bytes(), r.bytes()
	var to []byte
	if flags&flagTo != 0 {
		to = r.bytes()
	}
	var own [4]int
	total := 0
	for i := range own {
		own[i] = r.length()
		total += own[i]
	}
	text := r.take(total)
	var change *roxy.Change
	if flags&flagChange != 0 {
		change = r.change()
	}
	var ack *roxy.Ack
	if flags&flagAck != 0 {
		ack = r.ack()
	}
	data := r.bytes()
	if r.err == nil && len(r.rest) != 0 {
		r.err = fmt.Errorf("%d bytes too many", len(r.rest))
	}
	if r.err != nil {
		return r.err
	}

	var err error
	if e.Topic, err = d.topic(topic); err != nil {
		return err
	}
	e.Type, e.By = d.name(kind), d.name(by)
	if to != nil {
		if e.To, err = d.audience(to); err != nil {
			return err
		}
	}
	if total > 0 {
		s := string(text) // one allocation for what differs from event to event
		for i, field := range [...]*string{&e.ID, &e.Correlation, &e.Except, &e.TraceParent} {
			*field, s = s[:own[i]], s[own[i]:]
		}
	}
	if len(data) > 0 {
		e.Data = append(make([]byte, 0, len(data)), data...)
	}
	e.Change, e.Ack = change, ack
	return nil
}

// ops are spelled by their place.
func ops() [3]roxy.Op { return [...]roxy.Op{roxy.Put, roxy.Patch, roxy.Delete} }

func appendChange(dst []byte, c *roxy.Change) []byte {
	known := ops()
	dst = append(dst, byte(slices.Index(known[:], c.Op))) //nolint:gosec // one of three
	dst = binary.AppendUvarint(dst, c.Version)
	dst = appendString(dst, c.Mutation)
	for _, half := range [...][]byte{c.Patch, c.Undo} {
		dst = binary.AppendUvarint(dst, uint64(len(half)))
		dst = append(dst, half...)
	}
	return dst
}

// change reads what appendChange wrote. It shares nothing with the record.
func (f *fields) change() *roxy.Change {
	op := f.take(1)
	if f.err != nil {
		return nil
	}
	known := ops()
	if int(op[0]) >= len(known) {
		f.err = fmt.Errorf("op %d", op[0])
		return nil
	}
	c := &roxy.Change{Op: known[op[0]], Version: f.uvarint(), Mutation: string(f.bytes())}
	patch, undo := f.bytes(), f.bytes()
	both := append(append(make([]byte, 0, len(patch)+len(undo)), patch...), undo...)
	if len(patch) > 0 {
		c.Patch = both[:len(patch):len(patch)]
	}
	if len(undo) > 0 {
		c.Undo = both[len(patch):]
	}
	return c
}

// acksBy are spelled by their place.
func acksBy() [3]roxy.AckBy { return [...]roxy.AckBy{roxy.AckAny, roxy.AckUser, roxy.AckDevice} }

func appendAck(dst []byte, a *roxy.Ack) []byte {
	known := acksBy()
	dst = append(dst, byte(slices.Index(known[:], a.By))) //nolint:gosec // one of three
	dst = binary.AppendUvarint(dst, uint64(a.Within))     //nolint:gosec // ack turns it back
	return binary.AppendUvarint(dst, uint64(a.Attempts))  //nolint:gosec // small and positive
}

// ack reads what appendAck wrote.
func (f *fields) ack() *roxy.Ack {
	by := f.take(1)
	if f.err != nil {
		return nil
	}
	known := acksBy()
	if int(by[0]) >= len(known) {
		f.err = fmt.Errorf("ack by %d", by[0])
		return nil
	}
	return &roxy.Ack{By: known[by[0]], Within: time.Duration(f.uvarint()), Attempts: int(f.uvarint())} //nolint:gosec // as appendAck wrote them
}

func (d *Decoder) topic(b []byte) (roxy.Topic, error) {
	if t, ok := d.topics[string(b)]; ok {
		return t, nil
	}
	t, err := roxy.ParseTopic(string(b))
	if err != nil {
		return roxy.Topic{}, err
	}
	intern(d.topics, t.String(), t)
	return t, nil
}

func (d *Decoder) name(b []byte) string {
	if s, ok := d.names[string(b)]; ok {
		return s
	}
	s := string(b)
	intern(d.names, s, s)
	return s
}

func (d *Decoder) audience(b []byte) (roxy.Audience, error) {
	if a, ok := d.audiences[string(b)]; ok {
		return a, nil
	}
	var a roxy.Audience
	r := fields{rest: b}
	roles := r.length()
	for r.err == nil && len(r.rest) > 0 {
		name := d.name(r.bytes())
		if len(a.Roles) < roles {
			a.Roles = append(a.Roles, name)
		} else {
			a.Users = append(a.Users, name)
		}
	}
	if r.err == nil && len(a.Roles) != roles {
		r.err = fmt.Errorf("an audience of %d roles holds %d", roles, len(a.Roles))
	}
	if r.err != nil {
		return roxy.Audience{}, r.err
	}
	intern(d.audiences, string(b), a)
	return a, nil
}

// intern forgets everything when the table is full: what is still in use comes back with its next record.
func intern[V any](table map[string]V, key string, value V) {
	if len(table) >= maxInterned {
		clear(table)
	}
	table[key] = value
}

func appendString(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

func appendAudience(dst []byte, a roxy.Audience) []byte {
	var body []byte
	body = binary.AppendUvarint(body, uint64(len(a.Roles)))
	for _, names := range [][]string{a.Roles, a.Users} {
		for _, name := range names {
			body = appendString(body, name)
		}
	}
	return append(binary.AppendUvarint(dst, uint64(len(body))), body...)
}

// fields reads a record's fields one after another. After the first error all that it returns is empty.
type fields struct {
	rest []byte
	err  error
}

var errTruncated = errors.New("a field ends behind the record")

func (f *fields) uvarint() uint64 {
	n, size := binary.Uvarint(f.rest)
	if size <= 0 {
		f.fail()
		return 0
	}
	f.rest = f.rest[size:]
	return n
}

// length returns a length that the rest can hold.
func (f *fields) length() int {
	n := f.uvarint()
	if n > uint64(len(f.rest)) {
		f.fail()
		return 0
	}
	return int(n) //nolint:gosec // bounded just above
}

func (f *fields) take(n int) []byte {
	if n > len(f.rest) {
		f.fail()
		return nil
	}
	b := f.rest[:n:n]
	f.rest = f.rest[n:]
	return b
}

func (f *fields) bytes() []byte { return f.take(f.length()) }

func (f *fields) fail() {
	if f.err == nil {
		f.err = errTruncated
	}
	f.rest = nil
}
