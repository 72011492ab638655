// Package ws carries a subscription, and what its subscriber has to say, over WebSocket (RFC 6455, RFC 7692), as
// docs/protocol.md §5 lays down. What a stream holds is the hub's.
//
// Its parts know nothing of one another's business, so that who owns the socket can change alone:
//
//	encoding.go deflate.go frame.go   bytes on their way out: stateless, shared by all streams of a class
//	parser.go inflate.go              bytes on their way in: pushed, never waited for
//	request.go session.go             what the subscriber asks for, and the answers
//	handshake.go socket.go parked.go  the socket: two goroutines while its client talks, none while it is parked
package ws

import (
	"context"
	"time"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/hub"
	"github.com/roxyhub/roxy/transport"
)

// Protocol is the subprotocol that a client must offer.
const Protocol = "roxy.v1.json"

// Options are what all sockets have in common. All but the timings are required.
type Options struct {
	Hub          *hub.Hub
	Host         Host
	Subscription transport.Options
	MaxMessage   int // bytes of one message, inflated

	NoCompression bool // offers of permessage-deflate are declined

	PingEvery time.Duration // how long a silent client is left alone; 0 is 30 s. After as long again it counts as gone
	ParkAfter time.Duration // how long a silent client keeps its goroutines, where it can do without; 0 is 1 s
}

// Host is the listener that sockets come from: what it decides for a request, it decides for a message too.
type Host interface {
	// Still returns who as they may act now, or why they may not any more.
	Still(who roxy.Identity) (roxy.Identity, error)
	// Verify returns whom a token names.
	Verify(ctx context.Context, token string) (roxy.Identity, error)
	// Commit does what op asks with value, the JSON of one or an array of events (publish) or mutations (mutate), or of the
	// object that a device acknowledges with (ack), and returns the members of the answer as an object.
	Commit(ctx context.Context, who roxy.Identity, op string, value []byte) ([]byte, error)
	// Problem returns what the subscriber may be told of err, as an object.
	Problem(err error) []byte
}

// Peer is the client at the other end of a socket.
type Peer struct {
	Identity roxy.Identity
	Remote   string       // its address, for the operator
	Attempt  func() error // counts what costs as much as a new connection; an error refuses it
	Ended    func()       // called once when a socket that began is over, from any goroutine; nil for nobody
}
