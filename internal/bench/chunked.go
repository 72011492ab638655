package bench

import "errors"

// dechunker takes chunked transfer encoding (RFC 9112 §7.1) off a body that comes in pieces. The standard library's
// reader wants a buffered reader for each stream, which ten thousand streams pay for in memory and a second copy.
type dechunker struct {
	state chunkState
	left  int64 // of the chunk
}

type chunkState uint8

const (
	inSize chunkState = iota
	inExtension
	inData
	behindData
	atEnd
)

// maxChunk keeps a nonsensical size from overflowing.
const maxChunk = 1 << 40

var errChunk = errors.New("the stream's chunked encoding is broken") //nolint:gochecknoglobals // a sentinel

// next splits b into the first data in it, which may be empty, and the rest to go on with.
func (d *dechunker) next(b []byte) (data, rest []byte, err error) {
	for i, c := range b {
		switch d.state {
		case inSize:
			switch v := hex(c); {
			case v >= 0:
				if d.left = d.left<<4 | v; d.left > maxChunk {
					return nil, nil, errChunk
				}
			case c == ';' || c == '\r' || c == ' ':
				d.state = inExtension
			case c == '\n':
				d.begin()
			default:
				return nil, nil, errChunk
			}
		case inExtension:
			if c == '\n' {
				d.begin()
			}
		case inData:
			n := min(int64(len(b)-i), d.left)
			if d.left -= n; d.left == 0 {
				d.state = behindData
			}
			return b[i : i+int(n)], b[i+int(n):], nil
		case behindData:
			switch c {
			case '\r':
			case '\n':
				d.state = inSize
			default:
				return nil, nil, errChunk
			}
		case atEnd:
			return nil, nil, nil
		}
	}
	return nil, nil, nil
}

func (d *dechunker) begin() {
	if d.state = inData; d.left == 0 {
		d.state = atEnd
	}
}

// ended says that the last chunk has come: the server has ended the stream.
func (d *dechunker) ended() bool { return d.state == atEnd }

func hex(c byte) int64 {
	switch {
	case c >= '0' && c <= '9':
		return int64(c - '0')
	case c|0x20 >= 'a' && c|0x20 <= 'f':
		return int64(c|0x20-'a') + 10
	}
	return -1
}
