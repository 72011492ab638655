package ws

import (
	"encoding/base64"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gobwas/httphead"
	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsflate"

	"github.com/roxyhub/roxy"
)

// handshakeTime bounds the writing of the handshake's answer.
const handshakeTime = 10 * time.Second

// Check returns a *roxy.Problem for a request that is no handshake for the protocol (RFC 6455 §4.2.1). It reads nothing
// that shows who asks.
func Check(r *http.Request) error {
	switch h := r.Header; {
	case r.ProtoMajor != 1 || r.ProtoMinor < 1:
		return refused("", "a WebSocket is opened by a request of HTTP/1.1, not of %s", r.Proto)
	case !hasToken(h.Values("Upgrade"), "websocket"):
		return refused("Upgrade", "this is a WebSocket: send Upgrade: websocket")
	case !hasToken(h.Values("Connection"), "upgrade"):
		return refused("Connection", "Connection does not name Upgrade: a proxy on the way may have taken it off")
	case h.Get("Sec-WebSocket-Version") != "13":
		return refused("Sec-WebSocket-Version", "the version of the WebSocket protocol is 13")
	case !validKey(h.Values("Sec-WebSocket-Key")):
		return refused("Sec-WebSocket-Key", "Sec-WebSocket-Key: want 16 bytes in base64")
	case !slices.ContainsFunc(tokens(h.Values("Sec-WebSocket-Protocol")), speaks):
		return refused("Sec-WebSocket-Protocol", "the subprotocol is %s: offer it, as in new WebSocket(url, %q)", Protocol, Protocol)
	}
	return nil
}

func refused(member, format string, args ...any) error {
	return &roxy.Problem{Code: roxy.InvalidParameter, Member: member, Detail: fmt.Sprintf(format, args...)}
}

func speaks(protocol string) bool { return protocol == Protocol }

func validKey(lines []string) bool {
	if len(lines) != 1 {
		return false
	}
	key, err := base64.StdEncoding.DecodeString(lines[0])
	return err == nil && len(key) == 16
}

// tokens returns the elements of a list header.
func tokens(lines []string) []string {
	var all []string
	for _, line := range lines {
		for t := range strings.SplitSeq(line, ",") {
			all = append(all, strings.Trim(t, " \t"))
		}
	}
	return all
}

func hasToken(lines []string, token string) bool {
	return slices.ContainsFunc(tokens(lines), func(t string) bool { return strings.EqualFold(t, token) })
}

// upgraded is a connection after the handshake.
type upgraded struct {
	net.Conn
	early   []byte // what the client sent behind its handshake
	deflate bool
}

// upgrade answers a handshake that Check let pass.
func upgrade(w http.ResponseWriter, r *http.Request, compress bool) (upgraded, error) {
	offers := wsflate.Extension{Parameters: wsflate.Parameters{ServerNoContextTakeover: true, ClientNoContextTakeover: true}}
	upgrader := ws.HTTPUpgrader{
		Timeout: handshakeTime, Protocol: speaks,
		Negotiate: func(offer httphead.Option) (httphead.Option, error) {
			accepted, err := offers.Negotiate(offer)
			if err != nil || !compress { // what cannot be read is declined (RFC 7692 §7), and the socket opens without it
				return httphead.Option{}, nil //nolint:nilerr // as said
			}
			return accepted, nil
		},
	}
	conn, rw, _, err := upgrader.Upgrade(r, w)
	if err != nil {
		if conn != nil {
			_ = conn.Close()
		}
		return upgraded{}, err
	}
	early := make([]byte, rw.Reader.Buffered())
	_, _ = rw.Read(early) // from memory, all of it
	_, deflate := offers.Accepted()
	return upgraded{conn, early, deflate && compress}, nil
}
