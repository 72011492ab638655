package e2e

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
	"golang.org/x/sys/unix"

	"github.com/roxyhub/roxy/internal/testkit"
)

const (
	churners  = 64
	listening = 2 // the public one and the operator's
	// Whoever takes nothing is closed after 10 s, when the kernel's buffers are full.
	goneWithin     = 40 * time.Second
	heapMore       = 80 << 20  // the store's memtables, and what a class keeps
	objectsMore    = 10_000    // some for each event that a class keeps; a stream that were not forgotten has dozens
	residentMore   = 160 << 20 // the same, and garbage; the race detector's shadow is not measured
	filesMore      = 40        // the store opens tables as it writes them
	goroutinesMore = 4         // the store's
)

// Clients come and go in every way there is while events are published. The hub keeps no descriptor, no goroutine and no
// memory of them, its metrics say of those who are there what the kernel says, and who stays misses nothing.
// ROXY_CHURN=30m makes it last.
func TestChurnLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	lasting := 2 * time.Second
	if s := os.Getenv("ROXY_CHURN"); s != "" {
		d, err := time.ParseDuration(s)
		if err != nil {
			t.Fatal(err)
		}
		lasting = d
	}
	hubs := map[string]testkit.Config{"plain": {}, "race": {Race: true}}
	if lasting > time.Minute {
		hubs["TLS"] = testkit.Config{TLS: true} // internal/fanout has it in small
	}
	for name, config := range hubs {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			churn(t, config, lasting)
		})
	}
}

// crowd is the clients of one hub.
type crowd struct {
	*watched
	t       *testing.T
	address string
	token   string
	client  *http.Client // the witness's and the publisher's
	secure  *tls.Config  // nil for cleartext
	streams atomic.Int64 // that began
}

func churn(t *testing.T, config testkit.Config, lasting time.Duration) {
	t.Helper()
	config.YAML = "log: { level: warn }\nretention: { events: 20000 }\n"
	w := watch(t, config)
	c := &crowd{
		watched: w, t: t, address: w.URL[strings.LastIndex(w.URL, "/")+1:],
		token:  w.Token(t, testkit.Claims{User: "crowd", Roles: []string{"everything"}}),
		client: &http.Client{Transport: &http.Transport{}},
	}
	if config.TLS {
		c.secure = w.Trust(t)
		c.secure.ServerName, _, _ = strings.Cut(c.address, ":")
		c.client = &http.Client{Transport: &http.Transport{TLSClientConfig: c.secure}}
	}
	witness, err := tryOpenWith(t.Context(), c.client, w.URL, c.token, url.Values{"topic": {"orders/**"}}, "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = witness.body.Close() })
	witness.untilLive(t)
	var seen atomic.Uint64
	lost := make(chan error, 1)
	go func() { lost <- witness.inOrder(&seen) }()

	c.round(polite(), time.Second/2)
	base := c.settle(1)
	t.Logf("at first: %+v", base)

	stop, published := make(chan struct{}), make(chan uint64)
	go c.publish(stop, published)
	c.round(append(polite(), (*crowd).stuck, (*crowd).vanish), lasting)
	until(t, goneWithin, "the hub has closed whoever takes nothing or has vanished", func() bool {
		return w.metrics(t).sum("roxy_connections", "canary") == 1
	})
	close(stop)
	last := <-published
	until(t, goneWithin, "the witness has seen every event", func() bool {
		select {
		case err := <-lost:
			t.Fatal(err)
		default:
		}
		return seen.Load() == last
	})
	c.agree()
	var after holding
	until(t, 15*time.Second, "the hub holds no more than at first", func() bool {
		after = c.settle(1)
		t.Logf("at last: %+v", after)
		return after.within(base)
	})
	m := w.metrics(t)
	t.Logf("%d streams, %d events, ended %s", c.streams.Load(), last, m.labelled("roxy_streams_ended_total"))
	if !config.Race && after.resident > base.resident+residentMore {
		t.Errorf("%d MiB of memory, at first %d", after.resident>>20, base.resident>>20)
	}
	if ended := m.sum("roxy_streams_ended_total"); ended < float64(c.streams.Load()) {
		t.Errorf("%d streams began, %g ended", c.streams.Load(), ended)
	}
	if n := m[`roxy_streams_ended_total{reason="corrupt"}`] + m[`roxy_streams_ended_total{reason="closed"}`]; n > 0 {
		t.Errorf("%g streams ended for a fault", n)
	}
	if log := w.Log(); strings.Contains(log, "DATA RACE") || strings.Contains(log, "panic") || strings.Contains(log, `"ERROR"`) {
		t.Errorf("the hub's log:\n%s", log)
	}
}

// inOrder reads every event of the log, and tells the last, until something is wrong.
func (s *stream) inOrder(seen *atomic.Uint64) error {
	for next := uint64(1); ; next++ {
		f, err := s.event()
		if err != nil {
			return fmt.Errorf("the witness lost its stream before event %d: %w", next, err)
		}
		if _, offset, _ := strings.Cut(f.ID, "."); offset != fmt.Sprint(next) {
			return fmt.Errorf("the witness got %s, want event %d", f.ID, next)
		}
		seen.Store(next)
	}
}

// labelled spells the samples of one name.
func (m metrics) labelled(name string) string {
	var all []string
	for sample, value := range m {
		if strings.HasPrefix(sample, name+"{") && value != 0 {
			all = append(all, fmt.Sprintf("%s=%g", strings.TrimPrefix(sample, name), value))
		}
	}
	return strings.Join(all, " ")
}

// holding is what a hub holds at rest.
type holding struct{ files, others, goroutines, objects, heap, resident int }

// within reports whether h is as little as base, but for what may differ.
func (h holding) within(base holding) bool {
	return h.others <= base.others && h.files <= base.files+filesMore &&
		h.goroutines <= base.goroutines+goroutinesMore && h.heap <= base.heap+heapMore && h.objects <= base.objects+objectsMore
}

// settle waits until streams streams are left and no other socket, and returns what the hub holds besides.
func (c *crowd) settle(streams int) holding {
	c.t.Helper()
	c.get(c.t, "/debug/pprof/heap?gc=1")
	c.get(c.t, "/debug/pprof/heap?gc=1") // what the first has finalised
	var m metrics
	var d descriptors
	until(c.t, 20*time.Second, "only the streams are left", func() bool {
		m, d = c.metrics(c.t), c.descriptors(c.t)
		return m.sum("roxy_connections", "canary") == float64(streams) && m["roxy_limit_connections"] == float64(streams) &&
			m["roxy_sockets"] == float64(streams) && c.clients(c.t) == streams && len(d.inodes) == streams+listening
	})
	return holding{
		files: d.files, others: d.others, goroutines: int(m["go_goroutines"]), objects: int(m["go_memstats_heap_objects"]),
		heap: int(m["go_memstats_heap_alloc_bytes"]), resident: int(m["process_resident_memory_bytes"]),
	}
}

// agree holds what the hub says of its connections against what the kernel does.
func (c *crowd) agree() {
	c.t.Helper()
	const sse, sockets, idle = 40, 10, 5
	var conns []net.Conn
	for range sse {
		conns = append(conns, c.subscribe("identity", 0))
	}
	for range sockets {
		conns = append(conns, c.socket())
	}
	for range idle {
		conns = append(conns, c.dial(0))
	}
	until(c.t, 20*time.Second, "the hub and the kernel agree on who is there", func() bool {
		m := c.metrics(c.t)
		return m[`roxy_connections{transport="sse"}`] == sse+1 && m[`roxy_connections{transport="ws"}`] == sockets &&
			m["roxy_limit_connections"] == sse+sockets+1 && m["roxy_sockets"] == sse+sockets+idle+1 &&
			c.clients(c.t) == sse+sockets+idle+1
	})
	for _, conn := range conns {
		if conn == nil {
			c.t.Fatal("a client was not let in")
		}
		_ = conn.Close()
	}
}

// publish publishes until stop is closed, and tells the number of events then.
func (c *crowd) publish(stop <-chan struct{}, published chan<- uint64) {
	one := `{"topic":"orders/%d","data":"` + strings.Repeat("x", 2000) + `"}`
	var n uint64
	defer func() { published <- n }()
	for {
		select {
		case <-stop:
			return
		default:
		}
		var events []string
		for range 10 {
			events = append(events, fmt.Sprintf(one, rand.IntN(100)))
		}
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		r, err := publishWith(ctx, c.client, c.URL, c.token, "["+strings.Join(events, ",")+"]")
		cancel()
		if err != nil {
			c.t.Errorf("publish: %v", err)
			return
		}
		n = r.Events[len(r.Events)-1].Offset
		c.client.CloseIdleConnections() // its connection is one of a client's, too
		time.Sleep(time.Duration(rand.IntN(25)) * time.Millisecond)
	}
}

// round lets clients come and go for that long.
func (c *crowd) round(kinds []func(*crowd), lasting time.Duration) {
	deadline := time.Now().Add(lasting)
	var coming sync.WaitGroup
	for range churners {
		coming.Go(func() {
			for time.Now().Before(deadline) && !c.t.Failed() {
				kinds[rand.IntN(len(kinds))](c)
			}
		})
	}
	coming.Wait()
}

// polite are kinds of clients whose connection is gone when they are.
func polite() []func(*crowd) {
	return []func(*crowd){
		(*crowd).leave, (*crowd).reset, (*crowd).talkWebSocket, (*crowd).cutRequest, (*crowd).garbage, (*crowd).letterByLetter,
		(*crowd).cutPublish, (*crowd).nobody,
	}
}

// a moment that a client stays.
func moment() time.Duration { return time.Duration(rand.IntN(200)) * time.Millisecond }

// connect connects with a receive buffer of that size, 0 for the system's.
func (c *crowd) connect(buffer int) net.Conn {
	dialer := net.Dialer{Timeout: 20 * time.Second, Control: func(_, _ string, raw syscall.RawConn) error {
		if buffer == 0 {
			return nil
		}
		return raw.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, buffer) })
	}}
	conn, err := dialer.Dial("tcp", c.address)
	if err != nil {
		c.t.Errorf("dial: %v", err)
		return nil
	}
	_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
	return conn
}

// dial connects and, where the hub speaks TLS, shakes hands.
func (c *crowd) dial(buffer int) net.Conn {
	conn := c.connect(buffer)
	if c.secure == nil || conn == nil {
		return conn
	}
	over := tls.Client(conn, c.secure)
	if err := over.HandshakeContext(c.t.Context()); err != nil {
		c.t.Errorf("handshake: %v", err)
	}
	return over
}

// socketOf returns what conn runs over.
func socketOf(conn net.Conn) *net.TCPConn {
	if over, ok := conn.(*tls.Conn); ok {
		conn = over.NetConn()
	}
	return conn.(*net.TCPConn) //nolint:forcetypeassert // it is one
}

func (c *crowd) request(encoding string) string {
	return fmt.Sprintf("GET /v1/stream?topic=orders/%d&topic=orders/*&heartbeat=5s HTTP/1.1\r\nHost: hub\r\nAuthorization: Bearer %s\r\nAccept-Encoding: %s\r\n\r\n", rand.IntN(5), c.token, encoding)
}

// subscribe opens a stream and reads it until it is live, or for the head alone when it is compressed.
func (c *crowd) subscribe(encoding string, buffer int) net.Conn {
	conn := c.dial(buffer)
	if conn == nil {
		return nil
	}
	if _, err := io.WriteString(conn, c.request(encoding)); err != nil {
		c.t.Errorf("subscribe: %v", err)
	}
	lines := bufio.NewReaderSize(conn, 16)
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			c.t.Errorf("the stream ended before it was live: %v", err)
			return conn
		}
		if encoding == "gzip" && line == "\r\n" || line == "event: roxy:live\n" {
			c.streams.Add(1)
			return conn
		}
	}
}

func encodingAtRandom() string { return []string{"identity", "gzip"}[rand.IntN(2)] }

// leave reads for a moment and closes.
func (c *crowd) leave() {
	if conn := c.subscribe(encodingAtRandom(), 0); conn != nil {
		_ = conn.SetReadDeadline(time.Now().Add(moment()))
		_, _ = io.Copy(io.Discard, conn)
		_ = conn.Close()
	}
}

// reset goes with an RST while something is on its way.
func (c *crowd) reset() {
	if conn := c.subscribe(encodingAtRandom(), 4<<10); conn != nil {
		time.Sleep(moment())
		abort(conn)
	}
}

func abort(conn net.Conn) {
	_ = socketOf(conn).SetLinger(0)
	_ = socketOf(conn).Close()
}

// stuck takes nothing any more, and stays.
func (c *crowd) stuck() {
	if conn := c.subscribe(encodingAtRandom(), 4<<10); conn != nil {
		time.AfterFunc(20*time.Second, func() { abort(conn) })
		time.Sleep(moment())
	}
}

// vanish lets no packet of the hub's in any more: nothing is acknowledged, nothing is said, as if the cable were cut.
func (c *crowd) vanish() {
	conn := c.subscribe("identity", 4<<10) // little is on its way when the cable is cut, so the kernel holds little
	if conn == nil {
		return
	}
	if raw, err := socketOf(conn).SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) {
			nothing := []unix.SockFilter{{Code: unix.BPF_RET | unix.BPF_K}}
			if err := unix.SetsockoptSockFprog(int(fd), unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: 1, Filter: &nothing[0]}); err != nil {
				c.t.Errorf("cut the cable: %v", err)
			}
		})
	}
	time.AfterFunc(goneWithin, func() { _ = conn.Close() })
	time.Sleep(moment())
}

// socket opens a WebSocket and subscribes.
func (c *crowd) socket() net.Conn {
	conn := c.dial(0)
	if conn == nil {
		return nil
	}
	dialer := ws.Dialer{
		Protocols: []string{"roxy.v1.json"},
		Header:    ws.HandshakeHeaderHTTP{"Authorization": {"Bearer " + c.token}},
		NetDial:   func(context.Context, string, string) (net.Conn, error) { return conn, nil },
	}
	if _, buffered, _, err := dialer.Dial(c.t.Context(), "ws://"+c.address+"/v1/ws"); err != nil {
		c.t.Errorf("WebSocket: %v", err)
	} else if buffered != nil {
		ws.PutReader(buffered)
	}
	if err := wsutil.WriteClientText(conn, []byte(`{"op":"subscribe","ref":"s","topic":["orders/*"]}`)); err != nil {
		c.t.Errorf("WebSocket: %v", err)
	}
	for {
		text, err := wsutil.ReadServerText(conn)
		if err != nil {
			c.t.Errorf("the socket ended before its stream was live: %v", err)
			return conn
		}
		if strings.HasPrefix(string(text), `{"ok":false`) {
			c.t.Errorf("not subscribed: %s", text)
			return conn
		}
		if strings.Contains(string(text), "roxy:live") {
			c.streams.Add(1)
			return conn
		}
	}
}

// talkWebSocket subscribes, talks and goes: by a close, in the middle of a frame, or with an RST.
func (c *crowd) talkWebSocket() {
	conn := c.socket()
	if conn == nil {
		return
	}
	_ = wsutil.WriteClientText(conn, []byte(`{"op":"ping","ref":"1"}`))
	time.Sleep(moment())
	switch rand.IntN(3) {
	case 0:
		_ = wsutil.WriteClientMessage(conn, ws.OpClose, ws.NewCloseFrameBody(ws.StatusNormalClosure, ""))
	case 1:
		_, _ = conn.Write([]byte{0x81, 0xfe, 0x10})
	case 2:
		_ = socketOf(conn).SetLinger(0)
	}
	_ = conn.Close()
}

// cutRequest goes in the middle of a request.
func (c *crowd) cutRequest() {
	if conn := c.dial(0); conn != nil {
		request := c.request("identity")
		_, _ = io.WriteString(conn, request[:rand.IntN(len(request))])
		time.Sleep(moment())
		if rand.IntN(2) == 0 {
			abort(conn)
		}
		_ = conn.Close()
	}
}

// garbage speaks no HTTP, and no TLS.
func (c *crowd) garbage() {
	if conn := c.connect(0); conn != nil {
		noise := make([]byte, rand.IntN(3000))
		for i := range noise {
			noise[i] = byte(rand.Uint32())
		}
		_, _ = conn.Write(noise)
		_ = conn.SetReadDeadline(time.Now().Add(moment()))
		_, _ = io.Copy(io.Discard, conn)
		_ = conn.Close()
	}
}

// letterByLetter writes and reads a byte at a time.
func (c *crowd) letterByLetter() {
	conn := c.dial(0)
	if conn == nil {
		return
	}
	for _, b := range []byte(c.request("identity")) {
		if _, err := conn.Write([]byte{b}); err != nil {
			c.t.Errorf("letter by letter: %v", err)
			break
		}
	}
	_ = conn.SetReadDeadline(time.Now().Add(moment()))
	for b := make([]byte, 1); ; {
		if _, err := conn.Read(b); err != nil {
			break
		}
	}
	_ = conn.Close()
}

// cutPublish goes before the end of its body.
func (c *crowd) cutPublish() {
	if conn := c.dial(0); conn != nil {
		_, _ = fmt.Fprintf(conn, "POST /v1/events HTTP/1.1\r\nHost: hub\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n[{\"topic\":\"orders/1\"", c.token)
		time.Sleep(moment())
		if rand.IntN(2) == 0 {
			abort(conn)
		}
		_ = conn.Close()
	}
}

// nobody has no token, and reads why that matters.
func (c *crowd) nobody() {
	if conn := c.dial(0); conn != nil {
		_, _ = io.WriteString(conn, "GET /v1/stream?topic=a HTTP/1.1\r\nHost: hub\r\nConnection: close\r\n\r\n")
		if answer, err := io.ReadAll(conn); err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 401 ") {
			c.t.Errorf("without a token: %.100q, %v", answer, err)
		}
		_ = conn.Close()
	}
}
