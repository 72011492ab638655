package engine

import (
	"context"
	"slices"
	"time"

	"github.com/roxyhub/roxy"
)

// Devices is each tenant's durable subscribers. Nothing is copied for them: a device's mailbox is what the log holds
// behind its cursor. Implementations are safe for concurrent use and pass enginetest.Devices.
type Devices interface {
	// Register keeps what a device subscribes to from now on: every critical event that is committed later and addressed to
	// it has it among its targets. A device that was not known begins with its cursor at the head of the log, or at the one
	// that it is given.
	// Errors: roxy.Forbidden (the name is another user's), roxy.RateLimited (the user has limit devices already; 0 is no
	// limit), both naming the member device, and those of Log.Commit.
	Register(ctx context.Context, tenant string, d roxy.Device, limit int) (Registration, error)
	// Devices returns the tenant's devices, sorted by name.
	Devices(ctx context.Context, tenant string) ([]roxy.Device, error)
	// Forget removes a device: it is no target of what comes later. What it was a target of it is again when its user registers
	// the name again. Errors: roxy.NotFound, roxy.Forbidden when it is not
	// user's; an empty user may forget any.
	Forget(ctx context.Context, tenant, user, device string) error
}

// SystemDevice reports whether a device is one of the hub's own, whose names no client can choose: they begin with $. It is
// not forgotten for its silence.
func SystemDevice(name string) bool { return name != "" && name[0] == '$' }

// Registration is what Register found.
type Registration struct {
	roxy.Device
	New  bool
	Open []OpenAck // critical events that the device is to confirm, and has not; in log order
}

// OpenAck is where a critical event stands that is not settled.
type OpenAck struct {
	Offset  uint64
	Attempt int       // deliveries begun, from 1
	Due     time.Time // when the next one is, or the event is given up
}

// Acks is the acknowledgements of each tenant's critical events, kept in one step with its log: every event with an Ack
// is settled exactly once, as roxy.Acknowledged or roxy.Unacked, and in the latter case an event of roxy.UnackedType on
// roxy.DeadLetters tells so. Implementations are safe for concurrent use and pass enginetest.Acks.
type Acks interface {
	// Acknowledge takes what devices said and what was written to them, durably when it returns, and tells what came of it.
	// Errors: roxy.NotFound and roxy.Forbidden naming the member device (nothing was taken), and those of Log.Commit.
	Acknowledge(ctx context.Context, tenant string, said Acknowledgement) (Acknowledged, error)
	// Advance goes to the next delivery of critical events that stand where their OpenAck says, or gives them up, durably, and
	// returns those that were advanced, in the order of due: still open at their new Attempt, or Unacked. What was settled or
	// advanced by another hub meanwhile is left out.
	Advance(ctx context.Context, tenant string, due []OpenAck) ([]Critical, error)
	// Critical returns a critical event's acknowledgement with the receipts of all its targets. Error: roxy.NotFound.
	Critical(ctx context.Context, tenant string, offset uint64) (Critical, error)
	// Open returns the critical events of all tenants that are not settled, in log order. Beside an error it returns those of
	// the tenants that could be read.
	Open(ctx context.Context) (map[string][]OpenAck, error)
}

// Acknowledgement is what is known of one device since the last one.
type Acknowledgement struct {
	Device    string
	User      string       // who says it: the device has to be theirs
	Delivered *roxy.Cursor // the device has everything up to it; it never moves a cursor back. Nil says nothing
	Skipped   *roxy.Cursor // the hub could not give it what lies between its cursor and here: that is never marked delivered
	Confirmed []uint64     // critical events that it confirms
	Written   []Write      // what was written to its connection
}

// Write is one critical event that was written to a device's connection.
type Write struct {
	Offset    uint64
	Time      time.Time
	Transport string
}

// Acknowledged is what came of an Acknowledgement.
type Acknowledged struct {
	Cursor    roxy.Cursor      // of the device by now
	Confirmed []roxy.AckStatus // one for each Confirmed
	News      []AckNews        // for those who published, in order
}

// AckNews is one change of a critical event's receipts, or its settlement.
type AckNews struct {
	Critical // as it is by then, without Targets
	// Receipt is the receipt that changed: Delivered or Confirmed, by now. Zero in the news of a settlement.
	Receipt roxy.DeviceReceipt
}

// Critical is the acknowledgement of one critical event.
type Critical struct {
	Offset      uint64
	Epoch       string
	Time        time.Time
	Topic       roxy.Topic
	Type        string
	By          string
	Correlation string
	Ack         roxy.Ack
	Expires     time.Time // behind it the event is not delivered any more; zero for never

	Attempt    int       // deliveries begun, from 1
	Due        time.Time // of the next one
	Settlement roxy.Settlement
	Reason     roxy.UnackedReason // of Unacked
	Settled    time.Time

	Users   []string             // who must confirm, when Ack.By is user; sorted
	Targets []roxy.DeviceReceipt // sorted by device
}

// Cursor returns the event's cursor.
func (c *Critical) Cursor() roxy.Cursor { return roxy.Cursor{Epoch: c.Epoch, Offset: c.Offset} }

// Missing returns the targets whose confirmation would still count, all of them for an event of which none has to come.
func (c *Critical) Missing() []roxy.DeviceReceipt {
	if c.Settlement != "" {
		return nil
	}
	done := make(map[string]bool) // users
	if c.Ack.By == roxy.AckUser {
		for i := range c.Targets {
			if t := &c.Targets[i]; !t.Confirmed.IsZero() {
				done[t.User] = true
			}
		}
	}
	var missing []roxy.DeviceReceipt
	for i := range c.Targets {
		if t := &c.Targets[i]; t.Confirmed.IsZero() && !done[t.User] {
			missing = append(missing, *t)
		}
	}
	return missing
}

// Awaits reports whether the confirmation of a target would still count.
func (c *Critical) Awaits(t *roxy.DeviceReceipt) bool {
	return c.Settlement == "" && t.Confirmed.IsZero() &&
		(c.Ack.By != roxy.AckUser || !slices.ContainsFunc(c.Targets, func(o roxy.DeviceReceipt) bool { return o.User == t.User && !o.Confirmed.IsZero() }))
}
