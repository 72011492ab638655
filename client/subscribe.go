package client

import (
	"context"
	"errors"
	"iter"
	"time"

	"github.com/roxyhub/roxy"
)

// Subscription is what to follow and from where.
type Subscription struct {
	Patterns []roxy.Pattern // 1–64, each inside what the token may read
	Types    []string       // only these event types; empty is every type
	// After resumes behind an event that was handled. Nil is from now on, unless Earliest.
	After    *roxy.Cursor
	Earliest bool // everything that is retained, first
	// Snapshot begins with the present entities (messages Snapshot and Entity), unless what was missed since After can be
	// given. It does not go with Earliest. Types leaves out changes, too: a copy of entities needs them all.
	Snapshot bool
	// Device names the durable subscriber that this is, such as one tablet (docs/protocol.md §7): the hub keeps what waits for
	// it and up to where it has everything, hears of that by itself as the iteration goes on, and brings again the critical
	// events that it has not confirmed. When the hub knows the device and After is nil, that is where it resumes. It hears
	// what became of its mutations, too. It has one connection: whoever connects as it later ends the one before, with
	// ErrReplaced.
	Device string
	// Confirm confirms each critical event once it was handled. Without it, that is for Client.Confirm. It needs a Device.
	Confirm bool
	// Heartbeat is how often the hub shows that an idle stream lives, 1 s to 1 min. Zero leaves it to the hub. A
	// stream that is silent for twice as long and 2 s is given up and opened again.
	Heartbeat time.Duration
	// OnState, when not nil, hears what becomes of the connection. The goroutine that iterates calls it.
	OnState func(State)
}

// Message is what a subscription yields: an Event, a Snapshot, an Entity, a Receipt, an AckNews, a Presence, a Reset or a
// Live.
//
// A copy of the entities that match is kept right by three of them: a Snapshot empties it, an Entity goes in as it is, and
// an Event with a Change is applied to what has the version before. Replica does so.
type Message interface{ message() }

// Event is one event that matches. In roxy.Event are set Topic, Type, Data, Correlation, TraceParent, Time, By, Offset
// and Ephemeral; the rest is between publisher and hub. That of an entity's commit has a Change instead of Data: its Op,
// the Version that it made, the Patch from the version before (nil when nothing changed for who sees what the subscriber
// sees, and for a deletion) and the Mutation, which is how its author knows it again. A critical event has an Ack, of which
// the By is set.
type Event struct {
	roxy.Event
	// Cursor is where to resume once the event is handled. Zero for an ephemeral event, and for a critical one that comes
	// outside the order of the log because its device has not confirmed it.
	Cursor roxy.Cursor
	// AckID is what names a critical event in acknowledgements and receipts: its place in the log. Zero for any other.
	AckID roxy.Cursor
	// Attempt counts the deliveries of a critical event, from 1. Zero for any other.
	Attempt int

	to *acknowledger // of the device that it came to; nil for none
}

// Snapshot says that the matching entities follow, all of them as of one moment, and then what changes them. What was
// kept of earlier ones is void: a Snapshot that was cut off in its middle begins again. It is whole with the next Live, or
// Event that has a Cursor.
type Snapshot struct{}

// Entity is one entity of a snapshot.
type Entity struct{ roxy.Entity }

// Receipt is what became of a mutation of Subscription.Device: the answer to it may be lost, or go to another window. It
// is not in the log; one that came while there was no connection is had by Client.Results.
type Receipt struct{ roxy.MutationResult }

// Reset says that events were missed that cannot be had any more: what was built from events has to be fetched anew.
// The subscription goes on behind Cursor. With Subscription.Snapshot, Cursor is zero and a Snapshot comes next.
type Reset struct {
	Reason string // epoch, retention, overflow; or view, when the subscriber's roles see more or less of entities than before
	Cursor roxy.Cursor
}

// Live says that everything up to Cursor was given; it comes once for each connection, and behind a later Snapshot.
type Live struct {
	Cursor   roxy.Cursor
	Replayed uint64 // events given since the connection opened
	Entities uint64 // of the snapshot before
}

func (Event) message()    {}
func (Snapshot) message() {}
func (Entity) message()   {}
func (Receipt) message()  {}
func (Presence) message() {}
func (Reset) message()    {}
func (Live) message()     {}

// Phase is what a subscription is doing.
type Phase string

// The phases. A subscription goes round through them until it ends.
const (
	Connecting Phase = "connecting"
	Connected  Phase = "connected" // the hub has said hello
	Waiting    Phase = "waiting"   // until the next attempt
)

// State is what became of the connection of a subscription.
type State struct {
	Phase      Phase
	Connection string // the hub's name for it, once Connected
	// View is the hub's name for what the subscriber's roles see of entities, once Connected. A subscription with Snapshot
	// takes a new snapshot when it changes. Whoever keeps entities and a cursor over the end of the process keeps it, too, and
	// begins without After when it has changed.
	View  string
	Err   error         // why it is Waiting
	Retry time.Duration // how long it will wait
}

// Subscribe follows sub for as long as the caller iterates. It connects when the iteration begins, and again whenever
// the connection is lost, resuming behind the last event: each event that matches is yielded once, in the order of the
// log; what cannot be replayed is told as a Reset, never left out in silence. With Snapshot, entities and changes make up
// each entity at every version that it has from then on.
//
// The iteration ends without an error only when the hub answers that nobody is to come back (204). Otherwise the last
// pair holds the error: the context's, that of Options.Token, or a *roxy.Problem for what no repetition cures, such as
// a token that is not valid (a fresh one is asked for before the second refusal of an expired one) or a pattern
// outside the grant, or ErrReplaced. Each iteration of what Subscribe returns begins anew.
//
// With a Device, a message counts as handled when the caller asks for the next one: that of which it leaves the iteration
// comes again another time. A critical event that comes again although this iteration has handled it is not yielded twice.
// The iteration ends when the hub has been told what was handled, or 2 s later.
func (c *Client) Subscribe(ctx context.Context, sub Subscription) iter.Seq2[Message, error] {
	return func(yield func(Message, error) bool) {
		f := &follower{client: c, sub: sub, yield: yield, base: c.backoff.Base}
		if sub.After != nil {
			f.position = *sub.After
		}
		if err := f.iterate(ctx); err != nil {
			yield(nil, err)
		}
	}
}

// iterate is run with the acknowledgements of a device, of which the last are told before it returns.
func (f *follower) iterate(ctx context.Context) error {
	switch {
	case f.sub.Device != "":
		f.acks = startAcks(ctx, f.client, &f.sub)
		defer f.acks.close()
	case f.sub.Confirm:
		return errors.New("client: Subscription.Confirm needs a Device: without one there is nobody who could confirm")
	}
	return f.run(ctx)
}
