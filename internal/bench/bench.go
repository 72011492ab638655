// Package bench measures a hub from outside: it holds many streams open, publishes, and tells what arrived, how late, and
// what it cost the hub. It owns the load and the counting and knows no hub: a target is two HTTP requests, and a delivery
// is a marker found in a stream, whatever the framing around it is.
package bench

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

// Target is the hub that is measured.
type Target struct {
	// Stream opens stream {i}; {topic} is the shared topic.
	Stream Request
	// Publish publishes {data} on {topic}.
	Publish Request
	// Ready is a text in the stream that says that it is live; empty: the answer's header says so.
	Ready string
	// Topic is the shared topic's name.
	Topic string
	// OwnTopic, with {i}, is the name of stream i's own topic. Unless it is empty, every event goes to one stream's.
	OwnTopic string
}

// Load is what the hub is given to do.
type Load struct {
	Streams    int
	Publishers int           // connections that publish, at most maxPublishers
	Rate       float64       // events a second; 0: each publisher sends when its last event was answered
	Batch      int           // events in one request, as a JSON array
	Size       int           // of the payload, in bytes; a marker is the least
	Duration   time.Duration // of one run
	Warmup     time.Duration // published before the first run
	Repeat     int           // runs
	Idle       bool          // publish nothing
}

// Options are a measurement.
type Options struct {
	Target Target
	Load   Load
	// PIDs are the hub's processes, for its CPU and memory.
	PIDs []int
	// Settle is how long connected streams are left alone before memory is read, and before anything is published.
	Settle time.Duration
	// Progress hears often how far it is; nil: nobody does.
	Progress func(format string, args ...any)
}

const (
	// quiet ends a run whose deliveries have not all come: a hub that is behind delivers something in it.
	quiet = 3 * time.Second
	// repeats is how long a complete run is watched for what comes twice.
	repeats = 100 * time.Millisecond
	// poll is how often a run looks whether it is complete; rates are that exact.
	poll = 2 * time.Millisecond
)

func (o *Options) check() error {
	l := &o.Load
	switch {
	case l.Streams < 1 || l.Streams > maxStreams:
		return fmt.Errorf("%d streams: from 1 to %d", l.Streams, maxStreams)
	case l.Idle:
		return nil
	case l.Publishers < 1 || l.Publishers > maxPublishers:
		return fmt.Errorf("%d publishers: from 1 to %d", l.Publishers, maxPublishers)
	case l.Rate < 0:
		return fmt.Errorf("a rate of %v events a second: 0 or more", l.Rate)
	case l.Batch < 1:
		return fmt.Errorf("a batch of %d: at least 1", l.Batch)
	case l.Size < minSize:
		return fmt.Errorf("payloads of %d bytes: at least %d", l.Size, minSize)
	case l.Duration <= 0:
		return fmt.Errorf("a duration of %s: more than nothing", l.Duration)
	case l.Repeat < 1 || l.Repeat > maxRuns:
		return fmt.Errorf("%d runs: from 1 to %d", l.Repeat, maxRuns)
	}
	return nil
}

// meter is one measurement under way.
type meter struct {
	Options
	id         int // tells our markers from those of another bench
	streams    *streams
	publishers []*publisher
}

// Measure opens the streams, publishes and counts. Its error is about the measurement; what the hub did wrong is in the
// Result.
func Measure(ctx context.Context, o Options) (Result, error) {
	if err := o.check(); err != nil {
		return Result{}, err
	}
	if o.Progress == nil {
		o.Progress = func(string, ...any) {}
	}
	ctx, cancel := context.WithCancel(ctx)
	m := &meter{Options: o, id: rand.IntN(maxID)} //nolint:gosec // it keeps apart, it guards nothing
	streams, err := newStreams(o.Target, o.Load.Publishers, m.id)
	if err != nil {
		cancel()
		return Result{}, err
	}
	m.streams = streams
	defer streams.wait()
	defer cancel() // ends the streams
	result := Result{URL: o.Target.Stream.URL, Load: o.Load.words()}
	if result.Connect, err = m.connect(ctx); err != nil || o.Load.Idle {
		result.Total.Dropped = streams.dropped.Load()
		return result, err
	}
	if m.publishers, err = newPublishers(o, m.id, streams.clock); err != nil {
		return result, err
	}
	defer func() {
		for _, p := range m.publishers {
			p.close()
		}
	}()
	if o.Load.Warmup > 0 {
		warm, err := m.run(ctx, 0, o.Load.Warmup)
		if err != nil {
			return result, fmt.Errorf("warming up: %w", err)
		}
		result.Total.add(warm.Counts)
	}
	for n := range o.Load.Repeat {
		run, err := m.run(ctx, n+1, o.Load.Duration)
		if err != nil {
			return result, err
		}
		result.Runs = append(result.Runs, run)
		result.Total.add(run.Counts)
	}
	result.Median = median(result.Runs)
	return result, nil
}

// connect opens the streams and reads the hub's memory before and after.
func (m *meter) connect(ctx context.Context) (Connect, error) {
	before, err := readUsage(m.PIDs)
	if err != nil {
		return Connect{}, err
	}
	started := time.Now()
	if err := m.streams.connect(ctx, m.Load.Streams, m.Progress); err != nil {
		return Connect{}, err
	}
	c := Connect{Streams: m.Load.Streams, Seconds: time.Since(started).Seconds()}
	m.Progress("%d streams: waiting %s", m.Load.Streams, m.Settle)
	if err := sleep(ctx, m.Settle); err != nil {
		return c, err
	}
	if len(m.PIDs) == 0 {
		return c, nil
	}
	after, err := readUsage(m.PIDs)
	if err != nil {
		return c, err
	}
	n := float64(m.Load.Streams)
	c.Server = &ConnectCost{
		RSSBefore: before.rss, RSSAfter: after.rss, RSSPerStream: float64(after.rss-before.rss) / n,
		CPUPerStream: micros(after.cpu-before.cpu) / n,
	}
	return c, nil
}

// run publishes for d and waits until everything has come or nothing comes any more.
func (m *meter) run(ctx context.Context, number int, d time.Duration) (Run, error) {
	w := m.streams.begin(number)
	lost := m.streams.dropped.Load()
	before, err := readUsage(m.PIDs)
	if err != nil {
		return Run{}, err
	}
	own := ownCPU()
	started := time.Now()
	load := newSchedule(m.Load, d, m.streams.living())
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		load.publish(ctx, m.publishers, number)
	}()
	took := m.watch(ctx, w, load, number, answered)
	<-answered
	if err := ctx.Err(); err != nil {
		return Run{}, err
	}
	after, err := readUsage(m.PIDs)
	if err != nil {
		return Run{}, err
	}
	own = ownCPU() - own
	if err := sleep(ctx, repeats); err != nil {
		return Run{}, err
	}
	if load.published.Load() == 0 {
		return Run{}, errors.Join(errors.New("nothing could be published"), load.failure())
	}
	r := newRun(w, load, took)
	r.Dropped = m.streams.dropped.Load() - lost
	r.BenchCPUPerDelivery = micros(own) / max(1, float64(r.Delivered))
	if len(m.PIDs) > 0 {
		cpu := after.cpu - before.cpu
		r.Server = &RunCost{
			CPUPerDelivery: micros(cpu) / max(1, float64(r.Delivered)), CPUPerPublish: micros(cpu) / float64(r.Published),
			Cores: cpu.Seconds() / time.Since(started).Seconds(), RSS: float64(after.rss),
		}
	}
	return r, nil
}

// watch returns how long the deliveries took: until the last that was expected, or the last before it went quiet.
func (m *meter) watch(ctx context.Context, w *window, load *schedule, number int, answered <-chan struct{}) time.Duration {
	tick := time.NewTicker(poll)
	defer tick.Stop()
	started := time.Now()
	last, at, publishing := int64(0), started, true
	for {
		select {
		case <-ctx.Done():
			return time.Since(started)
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
		what := fmt.Sprintf("run %d of %d", number, m.Load.Repeat)
		if number == 0 {
			what = "warming up"
		}
		m.Progress("%s: %s, %d published, %d delivered, p99 %s", what, time.Since(started).Round(100*time.Millisecond),
			load.published.Load(), n, w.latency.quantile(0.99).Round(10*time.Microsecond))
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
