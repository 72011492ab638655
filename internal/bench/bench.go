// Package bench measures a hub from outside: it holds many streams open, publishes, and tells what arrived, how late, and
// what it cost the hub. It owns the load and the counting and knows no hub: a target is two HTTP requests, and a delivery
// is a mark found in a stream, whatever the framing around it is.
package bench

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

// Target is the hub that is measured.
type Target struct {
	// Subscribe opens stream {i}.
	Subscribe Request
	// Publish publishes {data} on {topic}.
	Publish Request
	// Ready is a text in the stream that says that it is live; empty: its answer's header says so.
	Ready string
	// Topic is the name of the topic that all streams share.
	Topic string
	// OwnTopic, with {i}, is the name of stream i's own topic. Unless it is empty, each event goes to one stream's own.
	OwnTopic string
	// Token is what {token} stands for.
	Token string
}

// Load is what the hub is given to do.
type Load struct {
	Streams    int
	Publishers int           // connections that publish
	Rate       float64       // events a second; 0: each publisher sends when its last event was answered
	Batch      int           // events in one request; several are a JSON array
	Size       int           // of the payload, in bytes
	Warmup     time.Duration // published before anything is measured
	Duration   time.Duration // published while it is
	Idle       bool          // publish nothing
}

// Options are a measurement.
type Options struct {
	Target Target
	Load   Load
	// PIDs are the hub's processes, for its CPU and memory; none: neither is told.
	PIDs []int
	// Settle is how long open streams are left alone before memory is read and anything is published.
	Settle time.Duration
	// Progress hears some times a second how far it is; nil: nobody does.
	Progress func(string)
}

const (
	// quiet ends a run whose deliveries have not all come: a hub that is behind delivers something in it.
	quiet = 3 * time.Second
	// repeats is how long a complete run is watched for what comes twice.
	repeats = 100 * time.Millisecond
	// poll is how often a run looks whether it is complete.
	poll = 2 * time.Millisecond
	// tellEvery paces Progress.
	tellEvery = 200 * time.Millisecond
)

func (o *Options) check() error {
	l := &o.Load
	switch {
	case l.Streams < 1 || l.Streams > maxStreams:
		return fmt.Errorf("%d streams: from 1 to %d", l.Streams, maxStreams)
	case l.Publishers < 1 || l.Publishers > maxPublishers:
		return fmt.Errorf("%d publishers: from 1 to %d", l.Publishers, maxPublishers)
	case l.Idle:
		return nil
	case l.Rate < 0:
		return fmt.Errorf("a rate of %v events a second: 0 or more", l.Rate)
	case l.Batch < 1:
		return fmt.Errorf("a batch of %d: at least 1", l.Batch)
	case l.Size < minSize:
		return fmt.Errorf("payloads of %d bytes: at least %d, which say what arrived and when it was sent", l.Size, minSize)
	case l.Duration <= 0:
		return fmt.Errorf("a duration of %s: more than nothing", l.Duration)
	case !strings.Contains(o.Target.Publish.Body, "{data}"):
		return errors.New("the body of a publish has no place for {data}, which is what is looked for in the streams")
	}
	return nil
}

// meter is one measurement under way.
type meter struct {
	Options

	streams    *streams
	publishers []*publisher
	told       time.Time
}

// Measure opens the streams, publishes and counts. When ctx ends it stops publishing and returns what was measured until
// then. Its error is about the measurement; what the hub did wrong is in the Result.
func Measure(ctx context.Context, o Options) (Result, error) {
	if err := o.check(); err != nil {
		return Result{}, err
	}
	if err := openFiles(o.Load.Streams + o.Load.Publishers); err != nil {
		return Result{}, err
	}
	if o.Progress == nil {
		o.Progress = func(string) {}
	}
	id := rand.IntN(maxID) //nolint:gosec // it keeps apart, it guards nothing
	m := &meter{Options: o, streams: newStreams(o.Target, o.Load, id)}
	defer m.streams.close()
	for i := range o.Load.Publishers {
		p := newPublisher(o.Target, o.Load, id, i, m.streams.clock)
		defer p.close()
		m.publishers = append(m.publishers, p)
	}
	result, err := m.measure(ctx)
	result.Interrupted = ctx.Err() != nil
	result.Dropped, result.DroppedFirst = m.streams.dropped.told()
	return result, err
}

func (m *meter) measure(ctx context.Context) (Result, error) {
	result := Result{URL: m.Target.Subscribe.URL, Load: m.Load.words()}
	before, err := readUsage(m.PIDs)
	if err != nil {
		return result, err
	}
	started := time.Now()
	result.Live, err = m.streams.connect(ctx, func(live int) {
		m.tell(func() string { return fmt.Sprintf("%d of %d streams are live", live, m.Load.Streams) })
	})
	result.ConnectSeconds = time.Since(started).Seconds()
	if err != nil {
		return result, fmt.Errorf("%d of %d streams were live: %w", result.Live, m.Load.Streams, err)
	}
	m.Progress(fmt.Sprintf("%d streams are live: waiting %s", result.Live, m.Settle))
	_ = sleep(ctx, m.Settle) // what follows asks ctx
	idle, err := readUsage(m.PIDs)
	if err != nil {
		return result, err
	}
	if len(m.PIDs) > 0 {
		result.Server = &Server{
			Before: before.memory, Idle: idle.memory, IdlePerStream: idle.memory.over(before.memory, result.Live),
			ConnectCPU: micros(idle.cpu-before.cpu) / float64(result.Live),
		}
	}
	if m.Load.Idle {
		return result, nil
	}
	for number, d := range []time.Duration{m.Load.Warmup, m.Load.Duration} {
		if d <= 0 || ctx.Err() != nil {
			continue
		}
		run, loaded, err := m.run(ctx, number, d)
		if err != nil {
			return result, err
		}
		if number == 0 {
			result.Warmup = &run.Counts
			continue
		}
		result.Run = &run
		if s := result.Server; s != nil {
			per := loaded.over(before.memory, result.Live)
			s.Loaded, s.LoadedPerStream = &loaded, &per
		}
	}
	return result, nil
}

// run publishes for d and waits until everything has come or nothing comes any more. It returns the hub's memory then.
func (m *meter) run(ctx context.Context, number int, d time.Duration) (Run, Memory, error) {
	w := m.streams.begin(number)
	before, err := readUsage(m.PIDs)
	if err != nil {
		return Run{}, Memory{}, err
	}
	own, started := ownCPU(), time.Now()
	load := newSchedule(m.Load, d, m.streams.living())
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		load.publish(ctx, m.publishers, number)
	}()
	took := m.watch(w, load, number, answered)
	own = ownCPU() - own
	after, err := readUsage(m.PIDs)
	if err != nil {
		return Run{}, Memory{}, err
	}
	lasted := time.Since(started)
	time.Sleep(repeats)
	if failed, first := load.failures.told(); load.published.Load() == 0 && failed > 0 {
		return Run{}, Memory{}, fmt.Errorf("nothing could be published: %s", first)
	}
	r := newRun(w, load, took, ctx.Err() != nil)
	deliveries := max(1, float64(r.Delivered))
	r.BenchCPU = micros(own) / deliveries
	if len(m.PIDs) > 0 {
		cpu := after.cpu - before.cpu
		r.ServerCPU, r.ServerCores = micros(cpu)/deliveries, cpu.Seconds()/lasted.Seconds()
	}
	return r, after.memory, nil
}

// watch returns how long the deliveries took: until the last that was expected, or the last before it went quiet. It
// returns after answered was closed.
func (m *meter) watch(w *window, load *schedule, number int, answered <-chan struct{}) time.Duration {
	tick := time.NewTicker(poll)
	defer tick.Stop()
	started := time.Now()
	last, at, publishing := int64(0), started, true
	what := "measuring"
	if number == 0 {
		what = "warming up"
	}
	for {
		select {
		case <-answered:
			publishing, answered, at = false, nil, time.Now()
		case <-tick.C:
		}
		n := w.delivered.Load()
		if n != last {
			last, at = n, time.Now()
		}
		if !publishing && (n >= load.expected.Load() || time.Since(at) > quiet) {
			return at.Sub(started)
		}
		m.tell(func() string {
			return fmt.Sprintf("%s: %.1f s, %d published, %d delivered, p99 %.1f ms", what, time.Since(started).Seconds(),
				load.published.Load(), n, w.latency.latency().P99)
		})
	}
}

// tell tells how far it is, unless that was told a moment ago.
func (m *meter) tell(what func() string) {
	if now := time.Now(); now.Sub(m.told) >= tellEvery {
		m.told = now
		m.Progress(what())
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
