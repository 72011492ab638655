package bench

import (
	"bytes"
	"strconv"
)

// mark says which event this is. On the wire it is "ZQ", six decimal numbers of fixed width and "QZ": letters and digits,
// which no hub escapes in any framing.
type mark struct {
	id    int   // of the bench
	run   int   // 0 is the warm-up
	lane  int   // the publisher: only events of one connection have an order
	topic int   // 0 is the shared one, i+1 stream i's own
	seq   int64 // by publisher and topic, from 0
	at    int64 // nanoseconds of the bench's clock when it was sent
}

const (
	maxID         = 10_000
	maxRuns       = 999
	maxPublishers = 10_000
	maxStreams    = 999_999

	markLen = 2 + 4 + 3 + 4 + 6 + 9 + 16 + 2
)

func (m mark) append(b []byte) []byte {
	b = append(b, "ZQ"...)
	b = digits(b, int64(m.id), 4)
	b = digits(b, int64(m.run), 3)
	b = digits(b, int64(m.lane), 4)
	b = digits(b, int64(m.topic), 6)
	b = digits(b, m.seq, 9)
	b = digits(b, m.at, 16)
	return append(b, "QZ"...)
}

// digits appends v in width digits.
func digits(b []byte, v int64, width int) []byte {
	text := strconv.AppendInt(make([]byte, 0, 20), v, 10)
	for range width - len(text) {
		b = append(b, '0')
	}
	return append(b, text...)
}

// readMark reads b, which has markLen bytes.
func readMark(b []byte) (m mark, ok bool) {
	if b[0] != 'Z' || b[1] != 'Q' || b[markLen-2] != 'Q' || b[markLen-1] != 'Z' {
		return m, false
	}
	b, ok = b[2:markLen-2], true
	number := func(width int) (v int64) {
		for _, c := range b[:width] {
			if c < '0' || c > '9' {
				ok = false
			}
			v = v*10 + int64(c-'0')
		}
		b = b[width:]
		return v
	}
	m.id, m.run, m.lane, m.topic = int(number(4)), int(number(3)), int(number(4)), int(number(6))
	m.seq, m.at = number(9), number(16)
	return m, ok
}

// scanner finds marks in bytes that come in pieces.
type scanner struct {
	kept [markLen]byte // the beginning of what may be a mark
	n    int
}

// scan calls got for each mark that ends in b.
func (s *scanner) scan(b []byte, got func(mark)) {
	if s.n > 0 {
		took := copy(s.kept[s.n:], b)
		if s.n += took; s.n < markLen {
			return
		}
		s.n = 0
		if m, ok := readMark(s.kept[:]); ok {
			got(m)
			b = b[took:]
		} else {
			// It was none, but one may begin within it. Rare: a piece ends in the letter Z.
			b = append(bytes.Clone(s.kept[1:]), b[took:]...)
		}
	}
	for {
		i := bytes.IndexByte(b, 'Z')
		if i < 0 {
			return
		}
		if b = b[i:]; len(b) < markLen {
			s.n = copy(s.kept[:], b)
			return
		}
		if m, ok := readMark(b); ok {
			got(m)
			b = b[markLen:]
		} else {
			b = b[1:]
		}
	}
}

const (
	dataHead = `{"pad":"`
	dataMid  = `","mark":"`
	dataTail = `"}`
	minSize  = len(dataHead) + len(dataMid) + markLen + len(dataTail)
)

// payload appends JSON of size bytes whose end is m: when m has come, all of it has.
func payload(b []byte, m mark, size int) []byte {
	b = append(b, dataHead...)
	b = append(b, bytes.Repeat([]byte{'x'}, size-minSize)...)
	b = append(b, dataMid...)
	b = m.append(b)
	return append(b, dataTail...)
}
