package bench

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
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
)

// schedule says what is sent when in one run, and counts it.
type schedule struct {
	Load

	length time.Duration
	living []int        // streams at its start
	next   atomic.Int64 // request
	turn   atomic.Int64 // of the own topics

	published, expected atomic.Int64
	failures            failures
	answered, behind    *durations
}

func newSchedule(l Load, length time.Duration, living []int) *schedule {
	return &schedule{Load: l, length: length, living: living, answered: newDurations(), behind: newDurations()}
}

// publish sends until the run is over or ctx ends; what was sent is answered then.
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
	topic, name, expected := 0, p.target.Topic, int64(len(s.living))
	if p.target.OwnTopic != "" {
		i := s.living[int(s.turn.Add(1)-1)%len(s.living)]
		topic, name, expected = i+1, filling{topic: name, i: i}.fill(p.target.OwnTopic, plain), 1
	}
	began := time.Now()
	if err := p.send(ctx, run, topic, name); err != nil {
		if ctx.Err() == nil {
			s.failures.add(err)
			_ = sleep(ctx, failurePause) // due asks ctx
		}
		return
	}
	s.answered.add(time.Since(began))
	s.published.Add(int64(s.Batch))
	s.expected.Add(expected * int64(s.Batch))
}

// publisher is one connection, which sends when the request before was answered. http.Client would take a core that the
// hub needs: its connections are two goroutines each.
type publisher struct {
	target Target
	load   Load
	id     int
	lane   int
	clock  func() time.Duration
	seqs   []int64 // by topic

	conn     net.Conn
	answers  *bufio.Reader
	requests *bufio.Writer
}

func newPublisher(t Target, l Load, id, lane int, clock func() time.Duration) *publisher {
	topics := 1
	if t.OwnTopic != "" {
		topics += l.Streams
	}
	return &publisher{target: t, load: l, id: id, lane: lane, clock: clock, seqs: make([]int64, topics)}
}

func (p *publisher) close() {
	if p.conn != nil {
		_ = p.conn.Close()
		p.conn = nil
	}
}

// send publishes a batch and waits for the answer. After an error its outcome is unknown; its numbers are not used again.
func (p *publisher) send(ctx context.Context, run, topic int, name string) (err error) {
	m := mark{id: p.id, run: run, lane: p.lane, topic: topic, at: int64(p.clock())}
	f := filling{topic: name, token: p.target.Token, i: p.lane}
	bodies := make([]string, p.load.Batch)
	for k := range bodies {
		m.seq = p.seqs[topic]
		p.seqs[topic]++
		f.data = string(payload(nil, m, p.load.Size))
		bodies[k] = p.target.Publish.body(f)
	}
	body := bodies[0]
	if len(bodies) > 1 {
		body = "[" + strings.Join(bodies, ",") + "]"
	}
	req, err := p.target.Publish.build(ctx, f, body)
	if err != nil {
		return err
	}
	keep := false
	defer func() {
		if !keep {
			p.close()
		}
	}()
	if p.conn == nil {
		if p.conn, err = dial(ctx, req.URL); err != nil {
			p.conn = nil
			return err
		}
		p.answers, p.requests = bufio.NewReader(p.conn), bufio.NewWriter(p.conn)
	}
	conn := p.conn
	if err := conn.SetDeadline(time.Now().Add(answerTime)); err != nil {
		return err
	}
	// What is under way when the measurement is interrupted is worth a moment: its deliveries are counted.
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Now().Add(quiet)) })()
	if err := req.Write(p.requests); err != nil {
		return err
	}
	if err := p.requests.Flush(); err != nil {
		return err
	}
	resp, err := http.ReadResponse(p.answers, req)
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
