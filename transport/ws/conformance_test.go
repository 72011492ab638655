package ws

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/gobwas/httphead"
	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsflate"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/hub"
	"github.com/roxyhub/roxy/transport/transporttest"
)

func TestWebSocketStreamsAsEveryTransportDoes(t *testing.T) {
	for kind, handler := range map[string]func(*hub.Hub, roxy.Identity) http.Handler{"parked": handler, "with goroutines": awake} {
		for encoding, compressed := range map[string]bool{"identity": false, "compressed": true} {
			t.Run(kind+", "+encoding, func(t *testing.T) {
				transporttest.Run(t, transporttest.Transport{Handler: handler, Subscribe: func(conn net.Conn, query url.Values) (func() (transporttest.Event, error), error) {
					return subscribe(conn, query, compressed)
				}})
			})
		}
	}
}

func TestWebSocketOverTLSStreamsAsEveryTransportDoes(t *testing.T) {
	for version, compressed := range map[uint16]bool{tls.VersionTLS12: false, tls.VersionTLS13: true} {
		t.Run(fmt.Sprintf("%s, compressed %t", tls.VersionName(version), compressed), func(t *testing.T) {
			transporttest.Run(t, transporttest.Secure(transporttest.Transport{Handler: handler, Subscribe: func(conn net.Conn, query url.Values) (func() (transporttest.Event, error), error) {
				return subscribe(conn, query, compressed)
			}}, version))
		})
	}
}

// handler serves sockets that are parked whenever they can be.
func handler(h *hub.Hub, who roxy.Identity) http.Handler {
	return serve(&Options{Hub: h, ParkAfter: time.Millisecond}, Peer{Identity: who})
}

// awake serves sockets that keep their goroutines.
func awake(h *hub.Hub, who roxy.Identity) http.Handler {
	return serve(&Options{Hub: h, ParkAfter: time.Hour}, Peer{Identity: who})
}

// serve serves sockets as the public listener does, without its limits and tokens.
func serve(opts *Options, peer Peer) http.Handler {
	opts.Host, opts.MaxMessage = host{opts.Hub}, 1<<20
	peer.Attempt = func() error { return nil }
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		err := Check(r)
		if err == nil {
			err = Serve(w, r, opts, peer)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
		}
	})
}

// host lets everybody do what their grant says.
type host struct{ *hub.Hub }

func (host) Still(who roxy.Identity) (roxy.Identity, error) { return who, nil }

func (host) Verify(context.Context, string) (roxy.Identity, error) {
	return roxy.Identity{}, &roxy.Problem{Code: roxy.Unauthenticated, Detail: "no token is known here"}
}

func (h host) Commit(ctx context.Context, who roxy.Identity, _ string, events []byte) ([]byte, error) {
	topic, err := roxy.ParseTopic("orders/1")
	if err != nil {
		return nil, err
	}
	if _, err = h.Hub.Publish(ctx, who, []roxy.Event{{Topic: topic, Data: events}}); err != nil {
		return nil, err
	}
	return []byte(`{"events":[{}]}`), nil
}

func (host) Problem(err error) []byte {
	p, _ := errors.AsType[*roxy.Problem](err)
	text, err := json.Marshal(map[string]string{"code": string(p.Code), "member": p.Member, "detail": p.Detail})
	if err != nil {
		panic(err)
	}
	return text
}

// dial opens a socket over conn with the client's side of gobwas/ws.
func dial(conn net.Conn, compressed bool) (*client, error) {
	d := ws.Dialer{Protocols: []string{"other", Protocol}}
	if compressed {
		d.Extensions = []httphead.Option{wsflate.Parameters{ClientNoContextTakeover: true}.Option()}
	}
	early, shake, err := d.Upgrade(conn, &url.URL{Scheme: "ws", Host: "hub", Path: "/"})
	if err != nil {
		return nil, err
	}
	if shake.Protocol != Protocol || (len(shake.Extensions) == 1) != compressed {
		return nil, fmt.Errorf("agreed on %+v", shake)
	}
	c := &client{Conn: conn, Reader: bufio.NewReader(conn), compressed: compressed}
	if early != nil {
		c.Reader = bufio.NewReader(io.MultiReader(early, conn))
	}
	return c, nil
}

// client is the other end of a socket.
type client struct {
	net.Conn
	*bufio.Reader
	compressed bool
	squeezed   int // frames that came compressed
}

func (c *client) Read(p []byte) (int, error) { return c.Reader.Read(p) }

// say sends one text message.
func (c *client) say(text string) error {
	f := ws.NewTextFrame([]byte(text))
	if c.compressed {
		var err error
		if f, err = wsflate.CompressFrame(f); err != nil {
			return err
		}
	}
	return ws.WriteFrame(c.Conn, ws.MaskFrameInPlace(f))
}

// closed is how the hub closed a socket.
type closed struct {
	code   ws.StatusCode
	reason string
}

func (c *closed) Error() string { return fmt.Sprintf("closed with %d %s", c.code, c.reason) }

// hear returns the next message. Pings are answered, a close is, and is an error.
func (c *client) hear() ([]byte, error) {
	for {
		f, err := readFrame(c.Reader)
		if err != nil {
			return nil, err
		}
		if packed, _ := wsflate.IsCompressed(f.Header); packed {
			c.squeezed++
			if f, err = wsflate.DecompressFrame(f); err != nil {
				return nil, err
			}
		}
		switch f.Header.OpCode {
		case ws.OpText:
			return f.Payload, nil
		case ws.OpPing:
			err = ws.WriteFrame(c.Conn, ws.MaskFrame(ws.NewPongFrame(f.Payload)))
		case ws.OpBinary, ws.OpContinuation:
			return nil, fmt.Errorf("a frame with opcode %d", f.Header.OpCode)
		case ws.OpPong:
			return append([]byte("pong "), f.Payload...), nil
		case ws.OpClose:
			_ = ws.WriteFrame(c.Conn, ws.MaskFrame(f)) // the hub need not wait for it
			code, reason := ws.ParseCloseFrameData(f.Payload)
			return nil, &closed{code, reason}
		}
		if err != nil {
			return nil, err
		}
	}
}

// subscribeRequest says what a subscription's query means over a socket.
func subscribeRequest(query url.Values) string {
	members := map[string]any{"op": "subscribe", "ref": "1"}
	for name, values := range query {
		switch name {
		case "topic", "type":
			members[name] = values
		case "snapshot":
			members[name] = true
		default:
			members[name] = values[0]
		}
	}
	text, err := json.Marshal(members)
	if err != nil {
		panic(err)
	}
	return string(text)
}

func subscribe(conn net.Conn, query url.Values, compressed bool) (func() (transporttest.Event, error), error) {
	c, err := dial(conn, compressed)
	if err != nil {
		return nil, err
	}
	if err := c.say(subscribeRequest(query)); err != nil {
		return nil, err
	}
	text, err := c.hear()
	if err != nil {
		return nil, err
	}
	var answer struct {
		Ref     string
		OK      bool
		Problem json.RawMessage
	}
	if err := json.Unmarshal(text, &answer); err != nil || !answer.OK || answer.Ref != "1" {
		return nil, fmt.Errorf("answered by %s: %w", text, err)
	}
	var waiting []transporttest.Event
	said := "" // the reason of the goodbye
	return func() (e transporttest.Event, err error) {
		for len(waiting) == 0 {
			text, err := c.hear()
			if how, ok := errors.AsType[*closed](err); ok && said != "" && how.reason == said && how.code == codeOf(hub.Reason(said)) {
				return e, io.EOF // the code is that of the reason
			}
			if err != nil {
				return e, err
			}
			var events []struct {
				ID    string
				Event string
				Data  json.RawMessage
			}
			if err := json.Unmarshal(text, &events); err != nil {
				return e, fmt.Errorf("%s: %w", text, err)
			}
			for _, e := range events {
				waiting = append(waiting, transporttest.Event{ID: e.ID, Type: e.Event, Data: string(e.Data)})
			}
		}
		e, waiting = waiting[0], waiting[1:]
		if e.Type == "roxy:bye" {
			var bye hub.Bye
			if err := json.Unmarshal([]byte(e.Data), &bye); err != nil {
				return e, err
			}
			said = string(bye.Reason)
		}
		return e, nil
	}, nil
}
