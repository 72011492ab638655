package ws

import (
	"github.com/gobwas/ws"

	"github.com/roxyhub/roxy/hub"
)

// Close codes of docs/protocol.md §5 that RFC 6455 does not have. 1012 and 1013 are from IANA's registry; 4000 and up
// are every protocol's own.
const (
	codeRestart  ws.StatusCode = 1012
	codeTryLater ws.StatusCode = 1013
	codeExpired  ws.StatusCode = 4001
	codeRevoked  ws.StatusCode = 4003
	codeSlow     ws.StatusCode = 4008
	codeReplaced ws.StatusCode = 4009
	codeSilent   ws.StatusCode = 4010
)

// codeOf returns the close code that goes with a goodbye.
func codeOf(reason hub.Reason) ws.StatusCode {
	switch reason {
	case hub.Drain:
		return codeRestart
	case hub.Overload:
		return codeTryLater
	case hub.TokenExpired:
		return codeExpired
	case hub.Revoked:
		return codeRevoked
	case hub.Slow:
		return codeSlow
	case hub.Replaced:
		return codeReplaced
	default:
		return ws.StatusInternalServerError
	}
}

// closeError ends a connection with a close frame.
type closeError struct {
	code   ws.StatusCode
	reason string
}

// Error returns the reason.
func (e *closeError) Error() string { return "ws: " + e.reason }

func protocolError(reason string) error { return &closeError{ws.StatusProtocolError, reason} }
