package client

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"strconv"
	"time"
)

// frame is one block of an event stream: an event when data is set, else only an id or a retry.
type frame struct {
	id    string
	hasID bool
	event string // "" stands for message
	data  []byte // nil for none; valid until the next call
	retry time.Duration
}

// frames reads text/event-stream as WHATWG HTML §9.2.6 interprets it. Unlike a browser it tells for each block whether
// it had an id of its own, because an event without one has no cursor; a block that has only an id is told as well.
type frames struct {
	r      *bufio.Reader
	limit  int // bytes of one line, and of one event's data
	begun  bool
	skipLF bool   // the last line ended in CR: an LF that follows belongs to it
	line   []byte // the parts of a line that came in several reads
	data   []byte
}

func newFrames(r io.Reader, limit int) *frames {
	return &frames{r: bufio.NewReaderSize(r, 16<<10), limit: limit}
}

// frameTooLargeError says that the stream cannot be read on within the bound.
type frameTooLargeError struct{ limit int }

func (e frameTooLargeError) Error() string {
	return fmt.Sprintf("the hub sent an event of more than %d bytes", e.limit)
}

// next returns the next block. At the end of the stream an unfinished block is dropped, as the standard says: its end
// may be missing. The error is then the reader's.
func (f *frames) next() (frame, error) {
	var out frame
	f.data = f.data[:0]
	hasData := false
	for {
		line, err := f.readLine()
		if err != nil {
			return frame{}, err
		}
		if len(line) == 0 {
			if hasData {
				out.data = f.data[:len(f.data)-1] // each data line brought its LF, the last is not the event's
			}
			if hasData || out.hasID || out.retry > 0 {
				return out, nil
			}
			out.event = ""
			continue
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimPrefix(value, []byte(" "))
		switch string(name) { // a comment has an empty name
		case "data":
			if len(f.data)+len(value)+1 > f.limit {
				return frame{}, frameTooLargeError{f.limit}
			}
			hasData = true
			f.data = append(append(f.data, value...), '\n')
		case "event":
			out.event = string(value)
		case "id":
			if bytes.IndexByte(value, 0) < 0 {
				out.id, out.hasID = string(value), true
			}
		case "retry":
			if ms, ok := digits(value); ok {
				out.retry = ms
			}
		}
	}
}

// digits reads milliseconds written in ASCII digits alone; what is longer than any wait is cut to maxHint.
func digits(value []byte) (time.Duration, bool) {
	if len(value) == 0 || len(bytes.Trim(value, "0123456789")) > 0 {
		return 0, false
	}
	ms, err := strconv.ParseUint(string(value), 10, 63)
	if err != nil || ms > uint64(maxHint/time.Millisecond) {
		return maxHint, true
	}
	return time.Duration(ms) * time.Millisecond, true
}

// readLine returns the next line without its end, which is CR, LF or CRLF. It never reads past a CR for the LF that may
// follow: that would hold an event back until the next one.
func (f *frames) readLine() ([]byte, error) {
	if !f.begun {
		if err := f.skipBOM(); err != nil {
			return nil, err
		}
		f.begun = true
	}
	f.line = f.line[:0]
	for {
		if _, err := f.r.Peek(1); err != nil {
			return nil, err
		}
		chunk, _ := f.r.Peek(f.r.Buffered())
		if f.skipLF {
			f.skipLF = false
			if chunk[0] == '\n' {
				_, _ = f.r.Discard(1)
				continue
			}
		}
		end := bytes.IndexAny(chunk, "\r\n")
		part := chunk
		if end >= 0 {
			part = chunk[:end]
		}
		if len(f.line)+len(part) > f.limit {
			return nil, frameTooLargeError{f.limit}
		}
		if end < 0 {
			f.line = append(f.line, part...)
			_, _ = f.r.Discard(len(part))
			continue
		}
		f.skipLF = chunk[end] == '\r'
		line := part
		if len(f.line) > 0 {
			f.line = append(f.line, part...)
			line = f.line
		}
		_, _ = f.r.Discard(end + 1) // part stays valid until the next read
		return line, nil
	}
}

// skipBOM drops one byte order mark at the start. It waits for no byte more than tells one apart.
func (f *frames) skipBOM() error {
	const bom = "\uFEFF"
	for n := 1; n <= len(bom); n++ {
		head, err := f.r.Peek(n)
		if string(head) != bom[:len(head)] {
			return nil
		}
		if err != nil {
			return err
		}
	}
	_, err := f.r.Discard(len(bom))
	return err
}
