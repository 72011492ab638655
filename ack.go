package roxy

import (
	"fmt"
	"time"
)

// AckBy is who must confirm a critical event (docs/protocol.md §7).
type AckBy string

// Who must confirm.
const (
	AckAny    AckBy = "any"    // one device of the audience
	AckUser   AckBy = "user"   // one device of each addressed user
	AckDevice AckBy = "device" // every device of the audience
)

// Bounds and defaults of an Ack.
const (
	DefaultAckWithin   = 30 * time.Second
	DefaultAckAttempts = 5
	MinAckWithin       = time.Second
	MaxAckWithin       = time.Hour
	MaxAckAttempts     = 20
)

// Ack makes an event critical: somebody must confirm it, or others are told that nobody did.
type Ack struct {
	By       AckBy
	Within   time.Duration // how long the first delivery may stay unconfirmed; each further one gets twice as long
	Attempts int           // deliveries in all, the first included
}

// Check returns a *Problem that names the member at fault, or nil.
func (a *Ack) Check() error {
	switch {
	case a.By != AckAny && a.By != AckUser && a.By != AckDevice:
		return invalidMember("ack.by", fmt.Errorf("%q is none of any, user and device", clip(string(a.By))))
	case a.Within < MinAckWithin || a.Within > MaxAckWithin:
		return invalidMember("ack.within", fmt.Errorf("%s, want %s–%s", a.Within, MinAckWithin, MaxAckWithin))
	case a.Attempts < 1 || a.Attempts > MaxAckAttempts:
		return invalidMember("ack.attempts", fmt.Errorf("%d, want 1–%d", a.Attempts, MaxAckAttempts))
	}
	return nil
}

// AckStatus is what a confirmation did.
type AckStatus string

// What a confirmation did.
const (
	AckConfirmed AckStatus = "confirmed" // the device had not confirmed it, and it was still open
	AckRepeated  AckStatus = "repeated"  // the device had confirmed it before
	AckLate      AckStatus = "late"      // the event was settled before: this is kept in its receipts, and changes nothing else
	AckUnknown   AckStatus = "unknown"   // no critical event that this device is to confirm: another's, none at all, or no longer retained
)

// Settlement is how a critical event ended: exactly once.
type Settlement string

// The settlements. The empty one is that of an event that is still open.
const (
	Acknowledged Settlement = "acknowledged" // all that had to confirm have
	Unacked      Settlement = "unacked"      // dead: see UnackedReason
)

// UnackedReason is why a critical event was given up.
type UnackedReason string

// Why a critical event was given up.
const (
	UnackedAttempts   UnackedReason = "attempts"    // delivered as often as it may be
	UnackedTTL        UnackedReason = "ttl"         // it is not to be delivered any more
	UnackedNoAudience UnackedReason = "no-audience" // no device that could confirm was known when it was published
	UnackedRetention  UnackedReason = "retention"   // the log forgot it
)

// DeadLetters is the topic on which the hub tells of critical events that nobody confirmed, by events of type
// UnackedType.
const (
	DeadLetters = "roxy/dead-letters"
	UnackedType = "roxy:unacked"
)

// DeviceReceipt is what is known of one critical event and one device that it is for.
type DeviceReceipt struct {
	Device    string
	User      string
	Written   time.Time // when it was last written to the device's connection; zero for never
	Delivered time.Time // when the device said that it has it; zero for not yet
	Confirmed time.Time // zero for not yet
	Late      bool      // Confirmed behind the event's settlement
	Attempts  int       // how often it was written
	Transport string    // of the last write: sse, ws
}
