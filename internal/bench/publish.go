package bench

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// answerTime bounds the answer to a publish.
	answerTime = 30 * time.Second
	// failurePause keeps a refusing hub from being asked in a tight loop.
	failurePause = 50 * time.Millisecond
	// told is how much of a refusal is repeated in an error.
	told = 300
)

// publisher is one connection; it sends an event when the one before was answered. net/http's client would take the core
// that the hub needs: four times the CPU of a request written as bytes.
type publisher struct {
	Options
	endpoint endpoint
	id, lane int
	clock    func() time.Duration
	seqs     []int64 // by topic
	conn     net.Conn
	stop     func() bool // of what closes conn when the measurement is cancelled
	answers  *bufio.Reader
	request  []byte
}

func newPublishers(o Options, id int, clock func() time.Duration) ([]*publisher, error) {
	e, err := o.Target.Publish.endpoint()
	if err != nil {
		return nil, fmt.Errorf("publish: %w", err)
	}
	if !strings.Contains(e.body, "{data}") {
		return nil, fmt.Errorf("the body of a publish has no place for {data}: it is what is looked for in the streams")
	}
	ps := make([]*publisher, o.Load.Publishers)
	topics := 1
	if o.Target.OwnTopic != "" {
		topics += o.Load.Streams
	}
	for i := range ps {
		ps[i] = &publisher{Options: o, endpoint: e, id: id, lane: i, clock: clock, seqs: make([]int64, topics)}
	}
	return ps, nil
}

func (p *publisher) close() {
	if p.conn != nil {
		p.stop()
		_ = p.conn.Close()
		p.conn = nil
	}
}

// schedule says what is sent when in one run, and counts it.
type schedule struct {
	Load
	length time.Duration
	living []int        // streams at its start
	next   atomic.Int64 // request
	turn   atomic.Int64 // of the own topics

	published, expected, failed atomic.Int64
	answered, behind            histogram

	mu    sync.Mutex
	first error
}

func newSchedule(l Load, length time.Duration, living []int) *schedule {
	return &schedule{Load: l, length: length, living: living}
}

// publish sends until the run is over.
func (s *schedule) publish(ctx context.Context, ps []*publisher, run int) {
	var group sync.WaitGroup
	started := time.Now()
	for _, p := range ps {
		group.Go(func() {
			for s.due(ctx, started) {
				s.one(ctx, p, run)
			}
		})
	}
	group.Wait()
}

// due waits until the next request is to be sent, and says whether there is one. With a rate, request k is due at k/rate
// whatever became of those before.
func (s *schedule) due(ctx context.Context, started time.Time) bool {
	if len(s.living) == 0 || ctx.Err() != nil || time.Since(started) >= s.length {
		return false
	}
	if s.Rate == 0 {
		return true
	}
	k := s.next.Add(1) - 1
	at := time.Duration(float64(k) * float64(s.Batch) / s.Rate * float64(time.Second))
	if at >= s.length || sleep(ctx, at-time.Since(started)) != nil {
		return false
	}
	s.behind.add(time.Since(started) - at)
	return true
}

func (s *schedule) one(ctx context.Context, p *publisher, run int) {
	topic, name, expected := 0, p.Target.Topic, int64(len(s.living))
	if p.Target.OwnTopic != "" {
		i := s.living[int(s.turn.Add(1)-1)%len(s.living)]
		topic, name, expected = i+1, fill(p.Target.OwnTopic, p.Target.Topic, i), 1
	}
	began := time.Now()
	if err := p.send(ctx, run, topic, name); err != nil {
		if ctx.Err() == nil {
			s.fail(err)
			_ = sleep(ctx, failurePause) // due asks ctx
		}
		return
	}
	s.answered.add(time.Since(began))
	s.published.Add(int64(s.Batch))
	s.expected.Add(expected * int64(s.Batch))
}

func (s *schedule) fail(err error) {
	s.failed.Add(1)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.first == nil {
		s.first = err
	}
}

// failure returns the first of them, or nil.
func (s *schedule) failure() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.first
}

// send publishes a batch and waits for the answer. After an error its outcome is unknown; its numbers are not used again.
func (p *publisher) send(ctx context.Context, run, topic int, name string) (err error) {
	if p.conn == nil {
		if p.conn, err = p.endpoint.dial(ctx); err != nil {
			p.conn = nil
			return err
		}
		p.answers = bufio.NewReader(p.conn)
		conn := p.conn
		p.stop = context.AfterFunc(ctx, func() { _ = conn.Close() })
	}
	keep := false
	defer func() {
		if !keep {
			p.close()
		}
	}()
	m := mark{id: p.id, run: run, lane: p.lane, topic: topic, at: int64(p.clock())}
	bodies := make([]string, p.Load.Batch)
	for k := range bodies {
		m.seq = p.seqs[topic]
		p.seqs[topic]++
		bodies[k] = p.endpoint.fillBody(name, p.lane, string(payload(nil, m, p.Load.Size)))
	}
	p.request = p.endpoint.append(p.request[:0], name, p.lane, bodies...)
	if err := p.conn.SetDeadline(time.Now().Add(answerTime)); err != nil {
		return err
	}
	if _, err := p.conn.Write(p.request); err != nil {
		return err
	}
	resp, err := http.ReadResponse(p.answers, nil)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return refusal(resp)
	}
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return err
	}
	keep = !resp.Close
	return nil
}

// refusal is an answer that is not the one hoped for.
func refusal(resp *http.Response) error {
	text, err := io.ReadAll(io.LimitReader(resp.Body, told))
	if len(text) == 0 && err != nil {
		return fmt.Errorf("the hub answered %s", resp.Status)
	}
	return fmt.Errorf("the hub answered %s: %s", resp.Status, strconv.Quote(string(text)))
}
