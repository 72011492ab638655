package bench

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
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
	// readSize is what one read takes at first. It doubles, up to maxRead, while reads come back full: a hub far behind
	// sends many events at once, and ten thousand streams that are not hold little.
	readSize = 2 << 10
	maxRead  = 32 << 10
	// maxOpening bounds what comes before Ready.
	maxOpening = 1 << 20
	// lastWords is how much of what came last is told of a stream that ended: a goodbye, mostly.
	lastWords = 200
)

// streams are all that are open. Each has a goroutine, which the runtime wakes from its one epoll: at 50,000 deliveries a
// second that costs 5.8 µs for each where an epoll loop of our own took 3.9, but it knows TLS and every system, and a
// million a second fit in one core.
type streams struct {
	target  Target
	load    Load
	id      int
	started time.Time // of the clock in marks
	all     []*stream
	window  atomic.Pointer[window]
	dropped failures
	closing atomic.Bool
	group   sync.WaitGroup
}

func newStreams(t Target, l Load, id int) *streams {
	s := &streams{target: t, load: l, id: id, started: time.Now(), all: make([]*stream, l.Streams)}
	s.begin(0)
	return s
}

// clock is what marks are stamped with: it never goes back.
func (s *streams) clock() time.Duration { return time.Since(s.started) }

// begin starts counting anew.
func (s *streams) begin(number int) *window {
	w := &window{number: number, latency: newDurations()}
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

// close ends the streams and waits for them.
func (s *streams) close() {
	s.closing.Store(true)
	for _, one := range s.all {
		if one != nil {
			_ = one.conn.Close()
		}
	}
	s.group.Wait()
}

// connect opens all streams and returns when they are live, or how many were when one could not be opened or ctx ended.
func (s *streams) connect(ctx context.Context, opened func(live int)) (live int, failed error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var (
		next    atomic.Int64
		openers sync.WaitGroup
		results = make(chan error)
	)
	for range min(opening, len(s.all)) {
		openers.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(s.all) && ctx.Err() == nil; i = int(next.Add(1)) - 1 {
				results <- s.open(ctx, i)
			}
		})
	}
	go func() {
		openers.Wait()
		close(results)
	}()
	for err := range results {
		switch {
		case err == nil:
			live++
			opened(live)
		case failed == nil:
			failed = err
			cancel()
		}
	}
	if failed == nil && live < len(s.all) {
		failed = ctx.Err()
	}
	return live, failed
}

// open opens stream i and follows it.
func (s *streams) open(ctx context.Context, i int) error {
	one := &stream{of: s, i: i, lanes: make([]lane, s.load.Publishers), buf: make([]byte, readSize)}
	ctx, cancel := context.WithTimeout(ctx, openTime)
	defer cancel()
	if err := one.open(ctx); err != nil {
		if one.conn != nil {
			_ = one.conn.Close()
		}
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			err = fmt.Errorf("not live within %s: %w", openTime, err)
		}
		return fmt.Errorf("stream %d: %w", i, err)
	}
	s.all[i] = one
	s.group.Go(func() {
		err := one.follow()
		one.ended.Store(true)
		_ = one.conn.Close()
		if !s.closing.Load() {
			s.dropped.add(fmt.Errorf("stream %d: %w", i, err))
		}
	})
	return nil
}

// stream is one of them.
type stream struct {
	of    *streams
	i     int
	conn  net.Conn
	body  io.Reader
	buf   []byte
	marks scanner
	lanes []lane // by publisher
	ended atomic.Bool
}

// open connects and reads until the stream is live. Nothing is published before, so what it reads holds no marks.
func (s *stream) open(ctx context.Context) error {
	f := filling{topic: s.of.target.Topic, token: s.of.target.Token, i: s.i}
	req, err := s.of.target.Subscribe.build(ctx, f, s.of.target.Subscribe.body(f))
	if err != nil {
		return err
	}
	if s.conn, err = dial(ctx, req.URL); err != nil {
		return err
	}
	conn := s.conn
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	if err := req.Write(conn); err != nil {
		return err
	}
	resp, err := http.ReadResponse(bufio.NewReaderSize(conn, readSize), req) //nolint:bodyclose // to close it is to read it to its end; closing the connection ends it
	if err != nil {
		return fmt.Errorf("waiting for the answer: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		return refusal(resp)
	}
	if coding := resp.Header.Get("Content-Encoding"); coding != "" && coding != "identity" {
		return fmt.Errorf("the stream is compressed (%s), which is not read here: do not ask for it", coding)
	}
	s.body = resp.Body
	for got := []byte(nil); !bytes.Contains(got, []byte(s.of.target.Ready)); {
		n, err := s.body.Read(s.buf)
		if got = append(got, s.buf[:n]...); err == nil && len(got) > maxOpening {
			err = fmt.Errorf("it did not come within %d bytes", maxOpening)
		}
		if err != nil {
			return fmt.Errorf("waiting for %q in the stream: %w", s.of.target.Ready, said(err, got))
		}
	}
	return ctx.Err()
}

// follow reads until the stream ends, and says how it did.
func (s *stream) follow() error {
	last := 0
	for {
		n, err := s.body.Read(s.buf)
		if n > 0 {
			s.take(s.buf[:n])
			last = n
		}
		if err != nil {
			return said(err, s.buf[:last])
		}
		if n == len(s.buf) && n < maxRead {
			s.buf = make([]byte, 2*n)
			last = 0
		}
	}
}

// said is err with the end of what was read before it.
func said(err error, got []byte) error {
	if errors.Is(err, io.EOF) {
		err = errors.New("the hub ended it")
	}
	if len(got) == 0 {
		return err
	}
	return fmt.Errorf("%w; the last it sent: %q", err, got[max(0, len(got)-lastWords):])
}

// take counts what is in b, a piece of the stream.
func (s *stream) take(b []byte) {
	now, w := s.of.clock(), s.of.window.Load()
	s.marks.scan(b, func(m mark) {
		switch {
		case m.id != s.of.id || m.lane >= len(s.lanes): // of another bench on this topic, now or earlier
		case m.topic != 0 && m.topic != s.i+1:
			w.strayed.Add(1)
		default:
			w.count(m, s.lanes[m.lane].take(m.seq), now)
		}
	})
}
