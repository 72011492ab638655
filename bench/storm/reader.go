//go:build unix

package main

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"log"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// reader reads one stream and counts what it is given. Ten thousand of them share the memory that they read into.
type reader struct {
	conn   *net.TCPConn
	bytes  *atomic.Int64
	packed bool
	data   func(envelope []byte) // hears of each event

	rest    []byte // of a line whose end has not come
	head    bool   // the answer's head was read
	control bool   // the event in hand is one of the hub's own
	id      uint64
	given   uint64 // the newest event
	events  int
	live    bool
	bye     bool
	retry   time.Duration
}

var buffers = sync.Pool{New: func() any { b := make([]byte, 64<<10); return &b }} //nolint:gochecknoglobals // a pool is one for all by its nature

// read reads until enough says that it is.
func (r *reader) read(enough func(*reader) bool) {
	if r.packed {
		r.unpack(enough)
		return
	}
	raw, err := r.conn.SyscallConn()
	if err != nil {
		log.Fatal(err)
	}
	for !enough(r) {
		var n int
		var failed error
		err := raw.Read(func(fd uintptr) bool {
			buf := buffers.Get().(*[]byte) //nolint:forcetypeassert // nothing else is in it
			defer buffers.Put(buf)
			for {
				if n, failed = syscall.Read(int(fd), *buf); !errors.Is(failed, syscall.EINTR) {
					break
				}
			}
			if errors.Is(failed, syscall.EAGAIN) {
				return false
			}
			r.take((*buf)[:max(n, 0)])
			return true
		})
		if err != nil || failed != nil || n == 0 {
			if r.bye {
				return
			}
			log.Fatalf("a stream ended behind %d events: %v %v", r.events, err, failed)
		}
	}
	if r.bye {
		_ = r.conn.Close()
	}
}

// unpack is read for a stream that is compressed.
func (r *reader) unpack(enough func(*reader) bool) {
	lines := &answer{conn: r.conn}
	if err := lines.skipHead(); err != nil {
		log.Fatal(err)
	}
	r.head = true
	z, err := gzip.NewReader(lines)
	if err != nil {
		log.Fatal(err)
	}
	for buf := make([]byte, 8<<10); !enough(r); {
		n, err := z.Read(buf)
		r.take(buf[:n])
		if err != nil && !enough(r) {
			log.Fatalf("a stream ended behind %d events: %v", r.events, err)
		}
	}
}

// answer is the body of an answer. It is an io.ByteReader so that gzip buffers nothing of its own.
type answer struct {
	conn net.Conn
	buf  [4 << 10]byte
	have []byte
}

func (a *answer) fill() error {
	n, err := a.conn.Read(a.buf[:])
	a.have = a.buf[:n]
	return err
}

func (a *answer) ReadByte() (byte, error) {
	if len(a.have) == 0 {
		if err := a.fill(); err != nil {
			return 0, err
		}
	}
	b := a.have[0]
	a.have = a.have[1:]
	return b, nil
}

func (a *answer) Read(p []byte) (int, error) {
	if len(a.have) == 0 {
		if err := a.fill(); err != nil {
			return 0, err
		}
	}
	n := copy(p, a.have)
	a.have = a.have[n:]
	return n, nil
}

func (a *answer) skipHead() error {
	var last [4]byte
	for {
		b, err := a.ReadByte()
		if errors.Is(err, io.EOF) {
			return io.ErrUnexpectedEOF
		} else if err != nil {
			return err
		}
		if last = [4]byte{last[1], last[2], last[3], b}; last == [4]byte([]byte("\r\n\r\n")) {
			return nil
		}
	}
}

// take counts what is in b, a piece of the stream.
func (r *reader) take(b []byte) {
	r.bytes.Add(int64(len(b)))
	for {
		i := bytes.IndexByte(b, '\n')
		if i < 0 {
			r.rest = append(r.rest, b...)
			return
		}
		line := b[:i]
		if len(r.rest) > 0 {
			line = append(r.rest, line...)
			r.rest = r.rest[:0]
		}
		b = b[i+1:]
		r.line(line)
	}
}

func (r *reader) line(line []byte) {
	switch {
	case !r.head:
		if bytes.HasPrefix(line, []byte("HTTP/1.1 ")) && !bytes.HasPrefix(line, []byte("HTTP/1.1 200")) {
			log.Fatalf("a stream was refused: %s", line)
		}
		r.head = len(bytes.TrimSpace(line)) == 0
	case bytes.HasPrefix(line, []byte("data: ")):
		if r.control {
			return
		}
		if r.events++; r.id > 0 && r.id <= r.given {
			log.Fatalf("event %d came behind %d", r.id, r.given)
		}
		r.given = r.id
		if r.data != nil {
			r.data(line[len("data: "):])
		}
	case len(line) == 0:
		r.control = false
	case bytes.HasPrefix(line, []byte("id: ")):
		id, err := strconv.ParseUint(string(line[bytes.IndexByte(line, '.')+1:]), 10, 64)
		if err != nil || id < r.id {
			log.Fatalf("%s behind %d", line, r.id)
		}
		r.id = id
	case bytes.HasPrefix(line, []byte("event: roxy:")):
		r.control = true
		r.live = r.live || bytes.HasSuffix(line, []byte(":live"))
		r.bye = r.bye || bytes.HasSuffix(line, []byte(":bye"))
	case bytes.HasPrefix(line, []byte("retry: ")):
		ms, err := strconv.Atoi(string(line[len("retry: "):]))
		if err != nil {
			log.Fatal(err)
		}
		r.retry = time.Duration(ms) * time.Millisecond
	}
}
