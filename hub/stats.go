package hub

import (
	"maps"
	"sync"
	"sync/atomic"

	"github.com/roxyhub/roxy/internal/measure"
)

// Stats is a copy of what the hub counts. Counters only grow while the hub runs.
type Stats struct {
	Connections    map[string]int64  // live streams by transport
	Ended          map[string]uint64 // streams by why they ended: client, drain, token-expired, revoked, slow, corrupt, closed
	Resets         map[string]uint64 // roxy:reset by reason
	Refused        map[string]uint64 // publishes that the engine refused, by code
	EventsIn       uint64            // committed
	Mutations      uint64            // committed
	EntitiesOut    uint64            // given in snapshots
	SheetsRead     uint64            // runs of entities read for snapshots
	SheetsShared   uint64            // and given to another stream too
	Duplicates     uint64            // publishes that repeated a key
	Ephemeral      uint64
	EventsOut      uint64 // events written to streams, replayed ones included
	EventsReplayed uint64
	BytesIn        uint64
	BytesOut       uint64
	ReplaysDelayed uint64            // steps of a replay that waited for their turn
	ReplaysRefused uint64            // streams sent away because too many caught up
	ChunksRead     uint64            // stretches of a log read for replays
	ChunksShared   uint64            // and given to another replay too
	Lagged         uint64            // times that a stream fell out of its class's queue and went back to the log
	Devices        int64             // connected
	Acks           map[string]uint64 // confirmations by what they did: confirmed, repeated, late, unknown
	Settled        map[string]uint64 // critical events by how they ended: acknowledged, attempts, ttl, no-audience, retention
	Redeliveries   uint64            // critical events given to a device again
	OpenAcks       int64             // critical events that wait for their confirmation or next delivery
	Unnoted        uint64            // audit rows that were not noted
	PresentUsers   int64             // of all tenants, those within the grace included
	PresentDevices int64             // and their devices; the streams of a user that name none count as one
	Joined         uint64            // times that a device, or a user without, became present
	Left           uint64            // and was not any more
	Tenants        int64             // with live streams
	SpelledAlone   uint64            // stretches that a stream spelled for itself
	SpelledShared  uint64            // and those that it was given as spelled for its class
	Transcripts    int64             // bytes of what is spelled for classes that catch up
	Classes        int64
	Queued         int64            // bytes that classes keep for their streams
	CommitLatency  measure.Snapshot // seconds
	// DeliveryLatency is from the moment that the engine stamps an event to the end of the write that carries it, in
	// seconds, for the newest event of each write of the live tail.
	DeliveryLatency measure.Snapshot
	AckLatency      measure.Snapshot // from the commit of a critical event to its settlement, in seconds
	ReplayDepth     measure.Snapshot // events that a stream got before it was live
}

// counters is what hot paths count in.
type counters struct {
	connections    gauges
	ended          labelled
	resets         labelled
	refused        labelled
	eventsIn       atomic.Uint64
	mutations      atomic.Uint64
	entitiesOut    atomic.Uint64
	duplicates     atomic.Uint64
	ephemeral      atomic.Uint64
	eventsOut      atomic.Uint64
	unnoted        atomic.Uint64
	eventsReplayed atomic.Uint64
	bytesIn        atomic.Uint64
	bytesOut       atomic.Uint64
	lagged         atomic.Uint64
	replaysDelayed atomic.Uint64
	replaysRefused atomic.Uint64
	acks           labelled
	settled        labelled
	redeliveries   atomic.Uint64

	commitLatency   *measure.Histogram
	deliveryLatency *measure.Histogram
	replayDepth     *measure.Histogram
	ackLatency      *measure.Histogram
}

func newCounters() *counters {
	return &counters{
		commitLatency:   measure.NewHistogram(.0002, .0005, .001, .002, .005, .01, .02, .05, .1, .2, .5, 1, 2, 5),
		deliveryLatency: measure.NewHistogram(.0002, .0005, .001, .002, .005, .01, .02, .05, .1, .2, .5, 1, 2, 5),
		ackLatency:      measure.NewHistogram(.1, .2, .5, 1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600),
		replayDepth:     measure.NewHistogram(0, 1, 10, 100, 1000, 10_000, 100_000, 1_000_000),
	}
}

// Stats returns a copy of the counters, and what the shards hold at this moment.
func (h *Hub) Stats() Stats {
	c := h.stats
	s := Stats{
		Connections: c.connections.copy(), Ended: c.ended.copy(), Resets: c.resets.copy(), Refused: c.refused.copy(),
		Mutations: c.mutations.Load(), EntitiesOut: c.entitiesOut.Load(), SheetsRead: h.snapshots.read.Load(), SheetsShared: h.snapshots.shared.Load(),
		EventsIn: c.eventsIn.Load(), Duplicates: c.duplicates.Load(), Ephemeral: c.ephemeral.Load(), Unnoted: c.unnoted.Load(),
		EventsOut: c.eventsOut.Load(), EventsReplayed: c.eventsReplayed.Load(),
		BytesIn: c.bytesIn.Load(), BytesOut: c.bytesOut.Load(), Lagged: c.lagged.Load(),
		ReplaysDelayed: c.replaysDelayed.Load(), ReplaysRefused: c.replaysRefused.Load(),
		ChunksRead: h.chunks.read.Load(), ChunksShared: h.chunks.shared.Load(),
		Acks: c.acks.copy(), Settled: c.settled.copy(), Redeliveries: c.redeliveries.Load(), OpenAcks: int64(h.deadlines.open()),
		AckLatency: c.ackLatency.Snapshot(), CommitLatency: c.commitLatency.Snapshot(), DeliveryLatency: c.deliveryLatency.Snapshot(), ReplayDepth: c.replayDepth.Snapshot(),
		SpelledAlone: h.transcripts.alone.Load(), SpelledShared: h.transcripts.shared.Load(), Transcripts: h.transcripts.held(),
	}
	p := h.presence.stats()
	s.PresentUsers, s.PresentDevices, s.Joined, s.Left = int64(p.users), int64(p.devices), p.joined, p.left
	h.mu.Lock()
	s.Devices = int64(len(h.devices))
	h.mu.Unlock()
	for _, sh := range h.shards {
		sh.mu.Lock()
		for _, t := range sh.tenants {
			s.Tenants++
			s.Classes += int64(len(t.classes))
			for _, class := range t.classes {
				s.Queued += class.log.Kept()
			}
		}
		sh.mu.Unlock()
	}
	return s
}

// labelled counts by a label from a small fixed set.
type labelled struct {
	mu sync.Mutex
	n  map[string]uint64
}

func (l *labelled) add(label string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.n == nil {
		l.n = make(map[string]uint64)
	}
	l.n[label]++
}

func (l *labelled) copy() map[string]uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.n)
}

// gauges is a labelled that also goes down.
type gauges struct {
	mu sync.Mutex
	n  map[string]int64
}

func (g *gauges) add(label string) { g.change(label, 1) }
func (g *gauges) sub(label string) { g.change(label, -1) }

func (g *gauges) change(label string, by int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.n == nil {
		g.n = make(map[string]int64)
	}
	g.n[label] += by
}

func (g *gauges) copy() map[string]int64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return maps.Clone(g.n)
}
