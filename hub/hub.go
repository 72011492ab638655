// Package hub turns committed events into deliveries. It owns the topic index, the classes and the streams, and keeps
// nothing durable: what survives a crash is the engine's, unsent bytes are the fan-out's. It checks what an identity
// may do; who somebody is, it is told.
package hub

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"maps"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/engine"
	"github.com/roxyhub/roxy/schema"
)

// Options of a Hub. The zero value takes the defaults of docs/configuration.md.
type Options struct {
	MaxEventBytes int           // of one event, as roxy.Event.Size counts; 0 is 64 KiB
	MaxBatch      int           // events in one publish; 0 is 1,000
	CommitTimeout time.Duration // of one publish, its wait in the queue included; 0 is 5 s, ten times a slow disk's fsync
	QueueBytes    int           // what a class keeps for its slowest stream; 0 is 1 MiB
	QueueEvents   int           // the same in events; 0 is 1,000
	Coalesce      []Coalesce    // what may wait; the shortest that fits counts
	ReplayRate    float64       // events per second that are read for streams that catch up, and given to them, all together; 0 is a million
	ReplayBurst   int           // the same at once; 0 is 500,000
	MailboxEvents int           // how many events may wait for a device; 0 is 1,000
	MailboxAge    time.Duration // and how long; 0 is 24 h
	// DevicesPerUser bounds the devices of one user; 0 is 100.
	DevicesPerUser int
	DrainOver      time.Duration // over which Close spreads its goodbyes; 0 is 30 s
	Fields         []FieldRule   // who may see which fields; SetFields changes them
	Schemas        *schema.Set   // what events and entities are held to; SetSchemas changes it. Nil allows everything
	PresenceGrace  time.Duration // how long somebody without a connection still counts as present; 0 is 20 s
	// Describe returns a problem as receipts tell it, a JSON object. Nil tells its code, member and detail.
	Describe func(*roxy.Problem) []byte
	Logger   *slog.Logger // what an operator should know; nil discards
}

// Coalesce lets the events of some topics wait for others before streams are written to: fewer writes for later events.
type Coalesce struct {
	Pattern roxy.Pattern
	Wait    time.Duration
}

// Hub is a running hub. Its methods may be called from any goroutine.
type Hub struct {
	store  Store
	opts   Options
	logger *slog.Logger
	stats  *counters
	seed   maphash.Seed
	shards []*shard

	revocations revocations
	chunks      *chunks
	transcripts *transcripts
	snapshots   *snapshots
	written     *writes
	deadlines   *deadlines
	presence    *presence
	auditor     *auditor
	views       atomic.Pointer[views]
	schemas     atomic.Pointer[schema.Set]
	replays     *rate.Limiter
	replayWait  time.Duration

	mu      sync.Mutex
	streams map[string]*stream // by connection id
	devices map[deviceKey]*stream
	closing bool
	idle    chan struct{} // closed when closing and no stream is left

	stop     context.CancelFunc
	running  context.Context //nolint:containedctx // of the streams that outlive their request; Close ends it
	dispatch sync.WaitGroup
	parking  parking
	loose    sync.WaitGroup // goroutines of streams that were parked
}

// Start returns a running Hub over store. Close the Hub first, then the engine.
func Start(ctx context.Context, store Store, opts Options) (*Hub, error) {
	opts.fill()
	views, err := newViews(opts.Fields)
	if err != nil {
		return nil, err
	}
	h := &Hub{
		chunks: newChunks(store), transcripts: newTranscripts(), snapshots: newSnapshots(store), replays: rate.NewLimiter(0, 0), replayWait: maxReplayWait,
		store: store, opts: opts, logger: opts.Logger, stats: newCounters(), seed: maphash.MakeSeed(),
		streams: make(map[string]*stream), devices: make(map[deviceKey]*stream), idle: make(chan struct{}),
	}
	h.written = &writes{hub: h, pending: make(map[deviceKey]*engine.Acknowledgement)}
	h.deadlines = newDeadlines(h)
	if h.presence, err = newPresence(opts.PresenceGrace); err != nil {
		return nil, fmt.Errorf("hub: %w", err)
	}
	h.views.Store(views)
	h.schemas.Store(opts.Schemas)
	h.LimitReplays(opts.ReplayRate, opts.ReplayBurst)
	for range runtime.GOMAXPROCS(0) {
		h.shards = append(h.shards, &shard{hub: h, tail: store.Tail(), tenants: make(map[string]*tenant)})
	}
	// The tails are open, so nothing falls between what is read here and what dispatch hears of.
	err = h.loadRevocations(ctx)
	if err == nil {
		err = h.deadlines.resume(ctx)
	}
	if err != nil {
		for _, s := range h.shards {
			s.tail.Close()
		}
		return nil, fmt.Errorf("hub: read the revocations and what is unacknowledged: %w", err)
	}
	running, stop := context.WithCancel(context.WithoutCancel(ctx)) // Close ends it, not whoever started it
	h.running, h.stop = running, stop
	h.dispatch.Go(func() { h.presence.run(running) })
	for _, s := range h.shards {
		h.dispatch.Go(func() { h.follow(running, s) })
	}
	h.dispatch.Go(func() { h.deadlines.run(running) })
	h.auditor = startAuditor(h) //nolint:contextcheck // it outlives running, to note how streams ended
	return h, nil
}

// follow runs a shard for as long as the hub runs.
func (h *Hub) follow(ctx context.Context, s *shard) {
	defer s.tail.Close()
	if err := s.run(ctx); ctx.Err() == nil && !errors.Is(err, engine.ErrClosed) {
		h.logger.LogAttrs(ctx, slog.LevelError, "dispatch ended: events are stored but no longer delivered; restart the hub", slog.Any("error", err))
	}
}

// drainRate is how many streams are told to go in a second at least: a bar's tablets come back within one, and a hundred
// thousand do not come back at once.
const drainRate = 200

// Close is Drain over Options.DrainOver.
func (h *Hub) Close(ctx context.Context) error { return h.Drain(ctx, h.opts.DrainOver) }

// Drain admits no more streams, says goodbye to the streams that are live, one after the other over so long
// (sooner when they are few, all at once when ctx ends), waits for them until ctx ends, and stops the dispatch. Calling it
// again is harmless.
func (h *Hub) Drain(ctx context.Context, over time.Duration) error {
	h.mu.Lock()
	if !h.closing {
		h.closing = true
		if len(h.streams) == 0 {
			close(h.idle)
		}
	}
	live := slices.Collect(maps.Values(h.streams))
	h.mu.Unlock()
	h.dismiss(ctx, live, over)
	left := len(live)
	var err error
	select {
	case <-h.idle:
	case <-ctx.Done():
		err = fmt.Errorf("hub: not all of %d streams ended: %w", left, context.Cause(ctx))
	}
	h.written.flush()
	h.stop()
	h.dispatch.Wait()
	h.parking.close()
	h.loose.Wait()
	h.snapshots.close()
	h.auditor.close()
	return err
}

// Leaving reports whether the hub drains, and how many streams it has.
func (h *Hub) Leaving() (streams int, leaving bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.streams), h.closing
}

// dismiss tells the streams to go.
func (h *Hub) dismiss(ctx context.Context, live []*stream, over time.Duration) {
	over = min(over, time.Duration(len(live))*time.Second/drainRate)
	began := time.Now()
	for i, st := range live {
		if wait := time.Until(began.Add(over * time.Duration(i) / time.Duration(len(live)))); wait > time.Millisecond {
			select {
			case <-time.After(wait):
			case <-ctx.Done(): // the rest at once
			}
		}
		st.end(Drain)
	}
}

func (o *Options) fill() {
	def := func(v *int, d int) {
		if *v == 0 {
			*v = d
		}
	}
	def(&o.MaxEventBytes, 64<<10)
	def(&o.MaxBatch, 1000)
	def(&o.QueueBytes, 1<<20)
	def(&o.QueueEvents, 1000)
	def(&o.ReplayBurst, 500_000)
	def(&o.MailboxEvents, 1000)
	def(&o.DevicesPerUser, 100)
	if o.MailboxAge == 0 {
		o.MailboxAge = 24 * time.Hour
	}
	if o.ReplayRate == 0 {
		o.ReplayRate = 1_000_000
	}
	if o.CommitTimeout == 0 {
		o.CommitTimeout = 5 * time.Second
	}
	if o.PresenceGrace == 0 {
		o.PresenceGrace = 20 * time.Second
	}
	if o.DrainOver == 0 {
		o.DrainOver = 30 * time.Second
	}
	if o.Describe == nil {
		o.Describe = describe
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
}
