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

// A state record is one entity as an engine stores it, under its topic:
//
//	format 1 · flags 1 · version · offset · time (Unix nanoseconds) · forgotten
//	data, unless deleted · the number of writers, each by and device
//	the number of marks, each field, part, version, writer, seq · CRC-32C of all before, 4
//
// Numbers are uvarints; a string is its length and its bytes; a writer is its place in the list before.
const (
	stateFormat  = 1
	stateDeleted = 1 << 0

	// What a record takes beside its data, about.
	stateFixed = 64
	markBytes  = 32
)

// AppendState appends s as a record. The topic is left out: it is the key.
func AppendState(dst []byte, s *State) []byte {
	dst = slices.Grow(dst, len(s.Data)+stateFixed+markBytes*len(s.Marks))
	start := len(dst)
	var flags byte
	if !s.Exists() {
		flags |= stateDeleted
	}
	dst = append(dst, stateFormat, flags)
	for _, n := range [...]uint64{s.Version, s.Offset, uint64(s.Time.UnixNano()), s.Forgotten} {
		dst = binary.AppendUvarint(dst, n)
	}
	if s.Exists() {
		dst = binary.AppendUvarint(dst, uint64(len(s.Data)))
		dst = append(dst, s.Data...)
	}
	writers := writersOf(s.Marks)
	dst = binary.AppendUvarint(dst, uint64(len(writers.list)))
	for _, w := range writers.list {
		dst = appendString(appendString(dst, w.by), w.device)
	}
	dst = binary.AppendUvarint(dst, uint64(len(s.Marks)))
	for i := range s.Marks {
		k := &s.Marks[i]
		dst = appendString(appendString(dst, k.Field), k.Part.String())
		dst = binary.AppendUvarint(dst, k.Version)
		dst = binary.AppendUvarint(dst, writers.place(writer{k.By, k.Device}))
		dst = binary.AppendUvarint(dst, k.Seq)
	}
	return binary.BigEndian.AppendUint32(dst, crc32.Checksum(dst[start:], castagnoli()))
}

type writer struct{ by, device string }

// fewWriters are found sooner one by one than in a map that is built for each record.
const fewWriters = 8

// writerList is the list of a record's writers.
type writerList struct {
	list   []writer
	places map[writer]int // nil while they are few
}

func writersOf(marks []Mark) (l writerList) {
	for i := range marks {
		w := writer{marks[i].By, marks[i].Device}
		if l.find(w) >= 0 {
			continue
		}
		if l.list = append(l.list, w); len(l.list) <= fewWriters {
			continue
		}
		if l.places == nil {
			l.places = make(map[writer]int, len(marks))
			for at, known := range l.list {
				l.places[known] = at
			}
		}
		l.places[w] = len(l.list) - 1
	}
	return l
}

// find returns the place of w, or -1.
func (l *writerList) find(w writer) int {
	if l.places == nil {
		return slices.Index(l.list, w)
	}
	if at, ok := l.places[w]; ok {
		return at
	}
	return -1
}

func (l *writerList) place(w writer) uint64 { return uint64(l.find(w)) } //nolint:gosec // it is in the list

// ReadEntity returns the entity of a record, without its marks, or ErrCorrupt. Its data is the caller's to keep.
func ReadEntity(topic roxy.Topic, record []byte) (roxy.Entity, error) {
	e, _, err := readEntity(topic, record)
	if err != nil {
		return roxy.Entity{}, corruptState(topic, err)
	}
	return e.Entity, nil
}

// ReadState returns the state of a record, or ErrCorrupt. It shares nothing with record.
func ReadState(topic roxy.Topic, record []byte) (State, error) {
	s, r, err := readEntity(topic, record)
	if err == nil {
		err = readMarks(&s, r)
	}
	if err != nil {
		return State{}, corruptState(topic, err)
	}
	return s, nil
}

func corruptState(topic roxy.Topic, err error) error {
	return fmt.Errorf("%w: entity %s: %w", ErrCorrupt, topic, err)
}

func readEntity(topic roxy.Topic, record []byte) (State, *fields, error) {
	if len(record) < 2+recordCRC {
		return State{}, nil, fmt.Errorf("a record of %d bytes", len(record))
	}
	end := len(record) - recordCRC
	if crc32.Checksum(record[:end], castagnoli()) != binary.BigEndian.Uint32(record[end:]) {
		return State{}, nil, errors.New("a wrong checksum")
	}
	if record[0] != stateFormat || record[1]&^stateDeleted != 0 {
		return State{}, nil, fmt.Errorf("a record of format %d with flags %02x", record[0], record[1])
	}
	r := &fields{rest: record[2:end]}
	s := State{Entity: roxy.Entity{Topic: topic}}
	s.Version, s.Offset = r.uvarint(), r.uvarint()
	s.Time = time.Unix(0, int64(r.uvarint())).UTC() //nolint:gosec // as AppendState wrote it
	s.Forgotten = r.uvarint()
	if record[1]&stateDeleted == 0 {
		data := r.bytes()
		s.Data = append(make([]byte, 0, len(data)), data...)
	}
	return s, r, r.err
}

func readMarks(s *State, r *fields) error {
	writers := make([]writer, r.length())
	for i := range writers {
		writers[i] = writer{string(r.bytes()), string(r.bytes())}
	}
	s.Marks = make([]Mark, r.length())
	for i := range s.Marks {
		k := &s.Marks[i]
		k.Field = string(r.bytes())
		if part := r.bytes(); len(part) > 0 {
			var err error
			if k.Part, err = roxy.ParseFieldPath(string(part)); err != nil {
				return err
			}
		}
		k.Version = r.uvarint()
		w := r.uvarint()
		k.Seq = r.uvarint()
		if r.err != nil {
			return r.err
		}
		if w >= uint64(len(writers)) {
			return fmt.Errorf("writer %d of %d", w, len(writers))
		}
		k.By, k.Device = writers[w].by, writers[w].device
	}
	if r.err == nil && len(r.rest) > 0 {
		return fmt.Errorf("%d bytes too many", len(r.rest))
	}
	return r.err
}
