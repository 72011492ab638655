package bench

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// opening is how many streams are being opened at once: more would measure the listener's queue.
	opening = 64
	// openTime bounds opening one.
	openTime = 30 * time.Second
	// readSize is what one read takes at most; ten thousand streams hold 40 MB of it.
	readSize = 4 << 10
	// maxOpening bounds an answer's header, and what comes before Ready.
	maxOpening = 1 << 20
)

// streams are all that are open. Each has a goroutine and one buffer that it reads into: on Linux one epoll thread would
// spare a tenth of the bench's CPU, and TLS and other systems with it.
type streams struct {
	endpoint endpoint
	target   Target
	lanes    int
	id       int
	started  time.Time // of the clock in marks
	all      []*stream
	dropped  atomic.Int64
	window   atomic.Pointer[window]
	group    sync.WaitGroup
}

// window counts one run.
type window struct {
	number  int
	latency histogram
	// delivered counts each event once on each stream, repeated what came again, disordered what came behind a later event
	// of its publisher, strayed what was another stream's own.
	delivered, repeated, disordered, strayed atomic.Int64
}

func newStreams(t Target, lanes, id int) (*streams, error) {
	e, err := t.Stream.endpoint()
	if err != nil {
		return nil, fmt.Errorf("stream: %w", err)
	}
	s := &streams{endpoint: e, target: t, lanes: lanes, id: id, started: time.Now()}
	s.window.Store(&window{})
	return s, nil
}

// clock is what marks are stamped with: it never goes back.
func (s *streams) clock() time.Duration { return time.Since(s.started) }

// begin starts counting anew.
func (s *streams) begin(number int) *window {
	w := &window{number: number}
	s.window.Store(w)
	return w
}

// living returns the streams that have not ended.
func (s *streams) living() (is []int) {
	for i, one := range s.all {
		if !one.ended.Load() {
			is = append(is, i)
		}
	}
	return is
}

// wait returns when all have ended; the context that they were connected with ends them.
func (s *streams) wait() { s.group.Wait() }

// connect opens n streams and returns when all are live. ctx ends them.
func (s *streams) connect(ctx context.Context, n int, progress func(string, ...any)) error {
	slots := make(chan struct{}, opening)
	live := make(chan error, n)
	for i := range n {
		one := &stream{of: s, i: i, lanes: make([]lane, s.lanes)}
		s.all = append(s.all, one)
		s.group.Go(func() {
			select {
			case slots <- struct{}{}:
			case <-ctx.Done():
				live <- ctx.Err()
				return
			}
			conn, rest, err := one.open(ctx)
			<-slots
			live <- err
			if err != nil {
				return
			}
			one.follow(conn, rest)
			_ = conn.Close()
			one.ended.Store(true)
			if ctx.Err() == nil {
				s.dropped.Add(1)
			}
		})
	}
	for i := range n {
		if err := <-live; err != nil {
			return fmt.Errorf("opening %d streams, %d are live: %w", n, i, err)
		}
		progress("%d of %d streams are live", i+1, n)
	}
	return nil
}

// stream is one of them; only its goroutine touches it.
type stream struct {
	of      *streams
	i       int
	chunked bool
	chunks  dechunker
	marks   scanner
	lanes   []lane // by publisher
	ended   atomic.Bool
}

// open connects and reads until the stream is live; rest is what was read beyond that.
func (s *stream) open(ctx context.Context) (conn net.Conn, rest []byte, err error) {
	conn, err = s.of.endpoint.dial(ctx)
	if err != nil {
		return nil, nil, err
	}
	context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer func() {
		if err != nil {
			_ = conn.Close()
		}
	}()
	if err := conn.SetDeadline(time.Now().Add(openTime)); err != nil {
		return nil, nil, err
	}
	e := &s.of.endpoint
	var bodies []string
	if e.body != "" {
		bodies = []string{e.fillBody(s.of.target.Topic, s.i, "")}
	}
	if _, err := conn.Write(e.append(nil, s.of.target.Topic, s.i, bodies...)); err != nil {
		return nil, nil, err
	}
	var got []byte
	more := func() error {
		piece := make([]byte, readSize)
		n, err := conn.Read(piece)
		if got = append(got, piece[:n]...); n > 0 {
			err = nil
		}
		if len(got) > maxOpening {
			err = fmt.Errorf("%d bytes and still not live", len(got))
		}
		return err
	}
	end := -1
	for end < 0 {
		if err := more(); err != nil {
			return nil, nil, fmt.Errorf("waiting for the answer: %w", err)
		}
		end = bytes.Index(got, []byte("\r\n\r\n"))
	}
	if err := s.answer(got); err != nil {
		return nil, nil, err
	}
	got = got[end+len("\r\n\r\n"):]
	for !bytes.Contains(got, []byte(s.of.target.Ready)) {
		if err := more(); err != nil {
			return nil, nil, fmt.Errorf("waiting for %q in the stream: %w", s.of.target.Ready, err)
		}
	}
	return conn, got, conn.SetDeadline(time.Time{})
}

// answer looks at the answer's header.
func (s *stream) answer(got []byte) error {
	resp, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(got)), nil)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return refusal(resp)
	}
	if coding := resp.Header.Get("Content-Encoding"); coding != "" && coding != "identity" {
		return fmt.Errorf("the stream is in %s, which is not read here: do not ask for it", coding)
	}
	s.chunked = len(resp.TransferEncoding) > 0
	return nil
}

// follow reads until the stream ends.
func (s *stream) follow(conn net.Conn, rest []byte) {
	buf := make([]byte, readSize)
	if err := s.take(rest); err != nil {
		return
	}
	for {
		n, err := conn.Read(buf)
		if taken := s.take(buf[:n]); err != nil || taken != nil {
			return
		}
	}
}

var errEnded = errors.New("the server has ended the stream") //nolint:gochecknoglobals // a sentinel

// take counts what is in b, a piece of the body.
func (s *stream) take(b []byte) error {
	now := s.of.clock()
	got := func(m mark) { s.count(m, now) }
	if !s.chunked {
		s.marks.scan(b, got)
		return nil
	}
	for len(b) > 0 {
		data, rest, err := s.chunks.next(b)
		if err != nil {
			return err
		}
		s.marks.scan(data, got)
		if b = rest; s.chunks.ended() {
			return errEnded
		}
	}
	return nil
}

func (s *stream) count(m mark, now time.Duration) {
	w := s.of.window.Load()
	switch {
	case m.id != s.of.id || m.lane >= len(s.lanes):
		return // of another bench on the same topic, or of an earlier one, replayed
	case m.topic != 0 && m.topic != s.i+1:
		w.strayed.Add(1)
		return
	}
	switch s.lanes[m.lane].take(m.seq) {
	case again:
		w.repeated.Add(1)
		return
	case late:
		w.disordered.Add(1)
	case next:
	}
	if m.run == w.number {
		w.latency.add(now - time.Duration(m.at))
		w.delivered.Add(1)
	}
}

// lane is what a stream has seen of one publisher. A stream is live before the first event, so number 0 is the first that
// it must see.
type lane struct {
	expected int64
	missing  map[int64]struct{}
}

type arrival uint8

const (
	next  arrival = iota
	late          // it was overtaken
	again         // it was here before
)

func (l *lane) take(seq int64) arrival {
	if seq >= l.expected {
		for ; l.expected < seq; l.expected++ {
			if l.missing == nil {
				l.missing = map[int64]struct{}{}
			}
			l.missing[l.expected] = struct{}{}
		}
		l.expected++
		return next
	}
	if _, ok := l.missing[seq]; !ok {
		return again
	}
	delete(l.missing, seq)
	return late
}
