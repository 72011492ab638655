package portable

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/engine"
)

// Reader reads an export from its beginning to its end and holds all of it against what an export is.
type Reader struct {
	Header Header
	// Raw is the line of the header, its newline included.
	Raw []byte

	lines  *bufio.Reader
	number int
	sum    hash.Hash
	seen   order
	ended  bool
	buf    []byte
}

// order is what came so far.
type order struct {
	of               engine.Bounds
	events, entities uint64
	event            *roxy.Event
	state            *engine.State
}

// NewReader returns a Reader that has read the header. Errors of what it reads are *roxy.Problem and tell the line.
func NewReader(from io.Reader) (*Reader, error) {
	r := &Reader{lines: bufio.NewReaderSize(from, 1<<16), sum: sha256.New()}
	line, err := r.line()
	if errors.Is(err, io.EOF) {
		return nil, fault(1, errors.New("the file is empty"))
	}
	if err != nil {
		return nil, err
	}
	if r.Header, err = ParseHeader(line); err != nil {
		return nil, fault(1, err)
	}
	r.Raw = bytes.Clone(line)
	r.sum.Write(line)
	r.seen.of = r.Header.Of
	return r, nil
}

// Next returns the next line, parsed and as it stands there, valid until the next call, and its number from 1 on. Behind
// the last line, which was found to be true of all before it, it returns io.EOF.
func (r *Reader) Next() (l Line, raw []byte, number int, err error) {
	raw, err = r.line()
	switch {
	case errors.Is(err, io.EOF) && r.ended:
		return Line{}, nil, r.number, io.EOF
	case errors.Is(err, io.EOF):
		return Line{}, nil, r.number, fault(r.number, errors.New("the export ends here, without its last line: it was cut"))
	case err != nil:
		return Line{}, nil, r.number, err
	case r.ended:
		return Line{}, nil, r.number, fault(r.number, errors.New("something follows the end"))
	}
	l, err = ParseLine(raw)
	if err == nil {
		err = r.seen.add(&l)
	}
	if err == nil && l.End != nil {
		r.ended = true
		if sum := hex.EncodeToString(r.sum.Sum(nil)); sum != l.End.Sum {
			err = fmt.Errorf("the lines before have the SHA-256 %s and not %s: the export was changed", sum, l.End.Sum)
		}
	}
	if err != nil {
		return Line{}, nil, r.number, fault(r.number, err)
	}
	r.sum.Write(raw)
	return l, raw, r.number, nil
}

// line returns the next line with its newline, without which a last line was cut.
func (r *Reader) line() ([]byte, error) {
	r.buf = r.buf[:0]
	for {
		piece, err := r.lines.ReadSlice('\n')
		r.buf = append(r.buf, piece...)
		if len(r.buf) > MaxLine {
			return nil, fault(r.number+1, fmt.Errorf("a line of more than %d bytes", MaxLine))
		}
		switch {
		case err == nil:
			r.number++
			return r.buf, nil
		case errors.Is(err, bufio.ErrBufferFull):
		case errors.Is(err, io.EOF) && len(r.buf) > 0:
			return nil, fault(r.number+1, errors.New("the line has no end: the export was cut"))
		default:
			return nil, err
		}
	}
}

// add holds a line against those before it.
func (o *order) add(l *Line) error {
	switch {
	case l.Event != nil:
		if o.state != nil {
			return errors.New("an event behind the entities")
		}
		part := engine.Restoration{Of: o.of, Events: make([]roxy.Event, 0, 2)}
		if o.event != nil {
			part.Events = append(part.Events, *o.event)
		} else if l.Event.Offset != o.of.First {
			return fmt.Errorf("event %d comes first, and the log begins with %d", l.Event.Offset, o.of.First)
		}
		part.Events = append(part.Events, *l.Event)
		o.events, o.event = o.events+1, l.Event
		return part.Check()
	case l.State != nil:
		if err := o.whole(); err != nil {
			return err
		}
		part := engine.Restoration{Of: o.of, States: make([]engine.State, 0, 2)}
		if o.state != nil {
			part.States = append(part.States, *o.state)
		}
		part.States = append(part.States, *l.State)
		o.entities, o.state = o.entities+1, l.State
		return part.Check()
	}
	if err := o.whole(); err != nil {
		return err
	}
	if l.End.Events != o.events || l.End.Entities != o.entities {
		return fmt.Errorf("the end tells of %d events and %d entities, and %d and %d came", l.End.Events, l.End.Entities, o.events, o.entities)
	}
	return nil
}

// whole reports whether all events came.
func (o *order) whole() error {
	if want := o.of.Head + 1 - o.of.First; o.events != want {
		return fmt.Errorf("%d events came, and the log has %d", o.events, want)
	}
	return nil
}

// Batch is some lines of an export behind its header.
type Batch struct {
	Header Header
	engine.Restoration
	From, To int // numbers of the lines, but for the header's
}

// ParseBatch reads a body: the header of an export, and some of its lines that follow one another, of which the first is
// line number from. Errors are *roxy.Problem and tell the line. Whether the batch continues what came before is for the
// engine to say.
func ParseBatch(body []byte, from int) (*Batch, error) {
	header, rest, _ := bytes.Cut(body, []byte("\n"))
	b := &Batch{From: from, To: from - 1}
	var err error
	if b.Header, err = ParseHeader(header); err != nil {
		return nil, fault(1, err)
	}
	b.Of = b.Header.Of
	for len(rest) > 0 {
		b.To++
		var line []byte
		line, rest, _ = bytes.Cut(rest, []byte("\n"))
		if err := b.add(line); err != nil {
			return nil, fault(b.To, err)
		}
	}
	return b, nil
}

func (b *Batch) add(line []byte) error {
	if b.End {
		return errors.New("something follows the end")
	}
	l, err := ParseLine(line)
	if err != nil {
		return err
	}
	part := engine.Restoration{Of: b.Of}
	switch {
	case l.Event != nil:
		if len(b.States) > 0 {
			return errors.New("an event behind the entities")
		}
		b.Events = append(b.Events, *l.Event)
		part.Events = b.Events[max(0, len(b.Events)-2):]
	case l.State != nil:
		b.States = append(b.States, *l.State)
		part.States = b.States[max(0, len(b.States)-2):]
	default:
		b.End, b.Entities = true, l.End.Entities
		if want := b.Of.Head + 1 - b.Of.First; l.End.Events != want {
			return fmt.Errorf("the end tells of %d events, and the log has %d", l.End.Events, want)
		}
	}
	return part.Check()
}
