package ws

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/gobwas/ws"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/engine/disk"
	"github.com/roxyhub/roxy/hub"
)

// site is a hub that serves sockets.
type site struct {
	*hub.Hub
	who  roxy.Identity
	addr string
}

func open(t *testing.T, change func(*roxy.Identity)) *site {
	t.Helper()
	return openWith(t, change, func(h *hub.Hub, who roxy.Identity) (*Options, Peer) {
		return &Options{Hub: h, ParkAfter: time.Millisecond}, Peer{Identity: who}
	})
}

// openWith serves sockets with what options says.
func openWith(t *testing.T, change func(*roxy.Identity), options func(*hub.Hub, roxy.Identity) (*Options, Peer)) *site {
	t.Helper()
	engine, err := disk.Open("data", disk.Options{FS: vfs.NewMem()})
	if err != nil {
		t.Fatal(err)
	}
	h, err := hub.Start(t.Context(), engine, hub.Options{})
	if err != nil {
		t.Fatal(err)
	}
	orders, err := roxy.ParsePattern("orders/*")
	if err != nil {
		t.Fatal(err)
	}
	who := roxy.Identity{
		Tenant: "bar", User: "u7", TokenID: "t1", Expires: time.Now().Add(time.Hour),
		Grant: roxy.Grant{Read: []roxy.Pattern{orders}, Publish: []roxy.Pattern{orders}},
	}
	if change != nil {
		change(&who)
	}
	server := httptest.NewServer(serve(options(h, who)))
	t.Cleanup(func() {
		stop(t, h)
		server.Close()
		if err := engine.Close(); err != nil {
			t.Error(err)
		}
	})
	return &site{h, who, server.Listener.Addr().String()}
}

func stop(t *testing.T, h *hub.Hub) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 20*time.Second)
	defer cancel()
	if err := h.Close(ctx); err != nil {
		t.Error(err)
	}
}

func (s *site) connect(t *testing.T, compressed bool) *client {
	t.Helper()
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	c, err := dial(conn, compressed)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// ask sends a request and wants what comes next to be the answer that begins and goes on like this.
func (c *client) ask(t *testing.T, text string, want ...string) {
	t.Helper()
	if err := c.say(text); err != nil {
		t.Fatal(err)
	}
	c.want(t, want...)
}

func (c *client) want(t *testing.T, parts ...string) {
	t.Helper()
	got, err := c.hear()
	if err != nil {
		t.Fatalf("want %q: %v", parts, err)
	}
	if !strings.HasPrefix(string(got), parts[0]) {
		t.Fatalf("got %s, want %s", got, parts[0])
	}
	for _, part := range parts[1:] {
		if !strings.Contains(string(got), part) {
			t.Errorf("got %s, want %s in it", got, part)
		}
	}
}

// end wants the connection to be closed with the code; pongs and messages before it are passed over.
func (c *client) end(t *testing.T, code ws.StatusCode) {
	t.Helper()
	for {
		_, err := c.hear()
		if err == nil {
			continue
		}
		if how, ok := errors.AsType[*closed](err); !ok || how.code != code {
			t.Errorf("got %v, want close code %d", err, code)
		}
		if _, err := c.Reader.ReadByte(); err == nil {
			t.Error("something follows the close frame")
		}
		return
	}
}

func TestRequestsAreAnsweredInTheirOrder(t *testing.T) {
	for _, compressed := range []bool{false, true} {
		t.Run(fmt.Sprint(compressed), func(t *testing.T) {
			c := open(t, nil).connect(t, compressed)
			c.ask(t, `{"op":"ping","ref":"é\"1"}`, `{"ref":"é\"1","ok":true,"time":"`)
			c.ask(t, `{"op":"unsubscribe","ref":"2"}`, `{"ref":"2","ok":false,"problem":`, `"not-found"`)
			c.ask(t, `{"op":"publish","ref":"3","events":"before"}`, `{"ref":"3","ok":true,"events":[{}]}`)
			c.ask(t, `{"op":"subscribe","ref":"4","topic":["orders/*"],"after":"earliest"}`, `{"ref":"4","ok":true,"connection":"`)
			c.want(t, `[{"id":"`, `"roxy:hello"`)
			c.want(t, `[{"id":"`, `"data":"before"`)
			c.want(t, `[{"id":"`, `"roxy:live"`)
			c.ask(t, `{"op":"subscribe","ref":"5","topic":["orders/*"]}`, `{"ref":"5","ok":false,"problem":`, `unsubscribe first`)
			for _, text := range []string{`{"op":"publish","ref":"6","events":"` + strings.Repeat("long ", 100) + `"}`, `{"op":"unsubscribe","ref":"7"}`, `{"op":"publish","ref":"8","events":"unheard"}`} {
				if err := c.say(text); err != nil {
					t.Fatal(err)
				}
			}
			events, answers := "", ""
			for !strings.Contains(answers, `"8"`) {
				text, err := c.hear()
				switch {
				case err != nil:
					t.Fatal(err)
				case text[0] == '[':
					events += string(text)
					if strings.Contains(answers, `"7"`) {
						t.Errorf("after unsubscribing: %s", text)
					}
				default:
					answers += string(text)
				}
			}
			if strings.Contains(events, "unheard") || answers != `{"ref":"6","ok":true,"events":[{}]}{"ref":"7","ok":true}{"ref":"8","ok":true,"events":[{}]}` {
				t.Errorf("events %s, answers %s", events, answers)
			}
			c.ask(t, `{"op":"subscribe","ref":"9","topic":["orders/1"],"after":"earliest","type":["message"]}`, `{"ref":"9","ok":true,`)
			for _, part := range []string{"roxy:hello", "before", "long long", "unheard", "roxy:live"} {
				c.want(t, `[{`, part)
			}
			if got := c.squeezed > 0; got != compressed {
				t.Errorf("%d frames came compressed", c.squeezed)
			}
		})
	}
}

func TestARefusedRequestLeavesTheConnectionOpen(t *testing.T) {
	c := open(t, nil).connect(t, false)
	for text, want := range map[string]string{
		`nonsense`:                   `{"ok":false,"problem":`,
		`{"op":"ping"}`:              `{"ok":false,"problem":`,
		`{"op":"dance","ref":"1"}`:   `{"ref":"1","ok":false,`,
		`{"op":"publish","ref":"1"}`: `{"ref":"1","ok":false,`,
		`{"op":"mutate","ref":"1"}`:  `{"ref":"1","ok":false,"problem":{"code":"invalid-parameter","detail":"mutations is required: one mutation or an array of mutations","member":"mutations"}}`,
		`{"op":"subscribe","ref":"1","topic":["orders/*"],"snapshot":7}`:    `{"ref":"1","ok":false,`,
		`{"op":"refresh","ref":"1"}`:                                        `{"ref":"1","ok":false,`,
		`{"op":"subscribe","ref":"1"}`:                                      `{"ref":"1","ok":false,`,
		`{"op":"refresh","ref":"1","token":"x"}`:                            `{"ref":"1","ok":false,`,
		`{"op":"subscribe","ref":"1","topic":["payments/*"]}`:               `{"ref":"1","ok":false,`,
		`{"op":"subscribe","ref":"1","topic":["orders/*"],"after":"x"}`:     `{"ref":"1","ok":false,`,
		`{"op":"subscribe","ref":"1","topic":["orders/*"],"heartbeat":"9"}`: `{"ref":"1","ok":false,`,
	} {
		c.ask(t, text, want)
	}
	c.ask(t, `{"op":"subscribe","ref":"2","topic":["orders/*"]}`, `{"ref":"2","ok":true`)
}

// shake is a handshake, by hand.
const shake = "GET / HTTP/1.1\r\nHost: hub\r\nUpgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\nSec-WebSocket-Version: 13\r\n" +
	"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: other, roxy.v1.json\r\n\r\n"

// Bytes that came with the handshake are not lost.
func TestARequestMayFollowTheHandshakeAtOnce(t *testing.T) {
	s := open(t, nil)
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := conn.Write(append([]byte(shake), frame(0x81, true, `{"op":"ping","ref":"1"}`)...)); err != nil {
		t.Fatal(err)
	}
	var got bytes.Buffer
	for buf := make([]byte, 512); !strings.Contains(got.String(), `{"ref":"1","ok":true`); {
		n, err := conn.Read(buf)
		if err != nil {
			t.Fatalf("%v after %q", err, got.String())
		}
		got.Write(buf[:n])
	}
	for _, part := range []string{"HTTP/1.1 101 ", "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", "Sec-WebSocket-Protocol: roxy.v1.json"} {
		if !strings.Contains(got.String(), part) {
			t.Errorf("%q lacks %q", got.String(), part)
		}
	}
}

func TestHostileFramesEndTheConnectionWithTheirCode(t *testing.T) {
	s := open(t, nil)
	for name, tt := range map[string]struct {
		sent []byte
		code ws.StatusCode
	}{
		"not masked":        {frame(0x81, false, `{"op":"ping","ref":"1"}`), 1002},
		"reserved bit":      {frame(0xf1, true, "x"), 1002},
		"binary":            {frame(0x82, true, "x"), 1003},
		"not UTF-8":         {frame(0x81, true, "\xff"), 1007},
		"too large":         {frame(0x81, true, strings.Repeat(" ", 1<<20+1)), 1009},
		"a ping, too large": {frame(0x89, true, strings.Repeat(" ", 126)), 1002},
	} {
		for _, subscribed := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, subscribed %t", name, subscribed), func(t *testing.T) {
				c := s.connect(t, false)
				if subscribed {
					c.ask(t, `{"op":"subscribe","ref":"1","topic":["orders/*"]}`, `{"ref":"1","ok":true`)
				}
				if _, err := c.Conn.Write(tt.sent); err != nil {
					t.Fatal(err)
				}
				c.end(t, tt.code)
			})
		}
	}
}

func TestPingAndCloseAreEchoed(t *testing.T) {
	c := open(t, nil).connect(t, true)
	if _, err := c.Conn.Write(frame(0x89, true, "are you there?")); err != nil {
		t.Fatal(err)
	}
	c.want(t, "pong are you there?")
	if _, err := c.Conn.Write(frame(0x88, true, "\x0f\xa5done")); err != nil {
		t.Fatal(err)
	}
	c.end(t, 4005)
}

// A socket is the hub's to end whether it subscribes something or not.
func TestAnIdleSocketIsEndedAsAStreamIs(t *testing.T) {
	for name, tt := range map[string]struct {
		end     func(t *testing.T, s *site)
		expires time.Duration
		code    ws.StatusCode
	}{
		"drain":   {func(t *testing.T, s *site) { t.Helper(); stop(t, s.Hub) }, time.Hour, 1012},
		"expired": {func(*testing.T, *site) {}, 300 * time.Millisecond, 4001},
		"revoked": {func(t *testing.T, s *site) {
			t.Helper()
			if err := s.Revoke(t.Context(), roxy.Revocation{Tenant: "bar", TokenID: "t1"}); err != nil {
				t.Error(err)
			}
		}, time.Hour, 4003},
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t, func(who *roxy.Identity) { who.Expires = time.Now().Add(tt.expires) })
			c := s.connect(t, false)
			if list := s.Connections("bar"); len(list) != 1 || list[0].Transport != "ws" || len(list[0].Patterns) != 0 {
				t.Errorf("the operator sees %+v", list)
			}
			tt.end(t, s)
			c.want(t, `[{"event":"roxy:bye","data":{"reason":`)
			c.end(t, tt.code)
		})
	}
}

// A peer that answers no ping is gone, though its connection may stand for hours.
func TestASilentPeerIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		far, over := readAlone(t)
		head := make([]byte, 2)
		for i := range 5 {
			if _, err := far.Read(head); err != nil || head[0] != 0x89 {
				t.Fatalf("ping %d: %x, %v", i, head, err)
			}
			if _, err := far.Write(frame(0x8a, true, "")); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := far.Read(head); err != nil {
			t.Fatal(err)
		}
		if end, ok := errors.AsType[*closeError](<-over); !ok || end.code != codeSilent {
			t.Errorf("got %v", end)
		}
	})
}

// One that sends a message byte by byte keeps its connection busy, and is not waited for.
func TestAMessageThatNeverEndsIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		far, over := readAlone(t)
		for _, b := range frame(0x81, true, strings.Repeat("x", 100)) {
			if _, err := far.Write([]byte{b}); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			select {
			case err := <-over:
				if end, ok := errors.AsType[*closeError](err); !ok || end.code != ws.StatusPolicyViolation {
					t.Errorf("got %v", end)
				}
				return
			default:
				time.Sleep(time.Second) // the bubble's
			}
		}
		t.Error("a hundred seconds are not too long")
	})
}

// One that reads nothing holds an answer back for so long, and there is no second one.
func TestAPeerThatReadsNothingEndsItsConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		defer func() { _, _ = near.Close(), far.Close() }()
		k := &socket{conn: upgraded{Conn: near}, opened: true}
		began := time.Now()
		k.reply([]byte("{}"))
		k.reply([]byte("{}"))
		if took := time.Since(began); took != replyTime || !k.over {
			t.Errorf("two answers took %s; over: %t", took, k.over)
		}
	})
}

// readAlone starts the reading of a socket without a stream; over says how it ended.
func readAlone(t *testing.T) (far net.Conn, over <-chan error) {
	t.Helper()
	near, far := net.Pipe()
	t.Cleanup(func() { _, _ = near.Close(), far.Close() })
	k := &socket{opts: &Options{ParkAfter: time.Hour}, conn: upgraded{Conn: near}, opened: true, parser: parser{limit: limit}}
	ended := make(chan error, 1)
	go func() { ended <- k.read(func(message) error { return nil }) }()
	return far, ended
}

func TestCheckNamesWhatAHandshakeLacks(t *testing.T) {
	for name, value := range map[string]string{
		"Upgrade": "h2c", "Connection": "keep-alive", "Sec-WebSocket-Version": "8", "Sec-WebSocket-Key": "short", "Sec-WebSocket-Protocol": "chat",
	} {
		r := httptest.NewRequestWithContext(t.Context(), "GET", "/v1/ws", nil)
		for name, value := range map[string]string{
			"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13",
			"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Protocol": Protocol,
		} {
			r.Header.Set(name, value)
		}
		if err := Check(r); err != nil {
			t.Fatal(err)
		}
		r.Header.Set(name, value)
		if p, ok := errors.AsType[*roxy.Problem](Check(r)); !ok || p.Member != name {
			t.Errorf("%s: %s gave %v", name, value, p)
		}
	}
}

// Offers that cannot be kept are declined, and the socket opens without compression.
func TestCompressionIsDeclinedWhenItCannotBeAsOffered(t *testing.T) {
	s := open(t, nil)
	for offer, want := range map[string]string{
		"permessage-deflate; client_max_window_bits":                               "server_no_context_takeover",
		"permessage-deflate; server_max_window_bits=10":                            "",
		"permessage-deflate; server_max_window_bits=10, permessage-deflate":        "client_no_context_takeover",
		"permessage-deflate; nonsense":                                             "",
		"x-webkit-deflate-frame":                                                   "",
		"permessage-deflate; server_no_context_takeover; client_max_window_bits=9": "client_no_context_takeover",
	} {
		conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", s.addr)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Write([]byte(strings.Replace(shake, "\r\n\r\n", "\r\nSec-WebSocket-Extensions: "+offer+"\r\n\r\n", 1))); err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		got := resp.Header.Get("Sec-WebSocket-Extensions")
		if resp.StatusCode != http.StatusSwitchingProtocols || (want == "") != (got == "") || !strings.Contains(got, want) {
			t.Errorf("%s: %s, agreed on %q", offer, resp.Status, got)
		}
		_ = conn.Close()
	}
}
