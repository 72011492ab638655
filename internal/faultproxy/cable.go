package faultproxy

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// largestHead bounds what is kept of an answer to find the end of its header.
const largestHead = 64 << 10

// cable is one client's connection and that to the server behind it.
type cable struct {
	proxy *Proxy
	near  *net.TCPConn
	ended chan struct{} // closed by cut

	mu    sync.Mutex
	far   net.Conn      // nil until the first request that goes to the server
	going chan struct{} // closed unless frozen
	now   *exchange     // the last request; the one before it has been answered
}

// exchange is a request and how far its answer has come. It belongs to who writes the answer.
type exchange struct {
	request *Request
	fault   Fault
	head    []byte // of the answer, until it is whole
	known   bool   // its status and header
	dropped int
	held    []byte
	passed  int
}

func newCable(p *Proxy, near *net.TCPConn) *cable {
	going := make(chan struct{})
	close(going)
	return &cable{proxy: p, near: near, ended: make(chan struct{}), going: going}
}

// cut ends both sides, unless they are.
func (c *cable) cut(how End) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case <-c.ended:
		return false
	default:
	}
	close(c.ended)
	if how == RST {
		_ = c.near.SetLinger(0)
	}
	_ = c.near.Close()
	if c.far != nil {
		_ = c.far.Close()
	}
	return true
}

func (c *cable) freeze() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case <-c.going:
		c.going = make(chan struct{})
		return true
	default:
		return false
	}
}

func (c *cable) thaw() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case <-c.going:
		return false
	default:
		close(c.going)
		return true
	}
}

func (c *cable) asks(x *exchange) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = x
}

func (c *cable) last() *Request {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.now == nil {
		return nil
	}
	return c.now.request
}

// goOn waits while the cable is frozen, and reports whether it is still there.
func (c *cable) goOn() bool {
	c.mu.Lock()
	going := c.going
	c.mu.Unlock()
	select {
	case <-c.ended:
		return false
	case <-going:
		return true
	}
}

// sleep reports whether the cable is still there after d.
func (c *cable) sleep(d time.Duration) bool {
	if d <= 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-c.ended:
		return false
	case <-timer.C:
		return true
	}
}

// side reads from one side of a cable: nothing, not even an end, while that is frozen.
type side struct {
	cable *cable
	conn  net.Conn
}

func (s side) Read(b []byte) (int, error) {
	n, err := s.conn.Read(b)
	if !s.cable.goOn() {
		return 0, net.ErrClosed
	}
	return n, err
}

// requests passes them on until the client ends.
func (c *cable) requests() {
	in := bufio.NewReader(side{c, c.near})
	var answers sync.WaitGroup
	defer answers.Wait()
	defer c.cut(FIN)
	for {
		r, err := http.ReadRequest(in)
		if err != nil {
			return
		}
		asked, fault := c.proxy.asked(c, r)
		if !c.sleep(fault.wait()) {
			return
		}
		if fault.Answer != nil {
			if _, err := io.Copy(io.Discard, r.Body); err != nil {
				return
			}
			c.proxy.answered(asked, fault.Answer.Status, fault.Answer.header())
			if err := fault.Answer.write(c.near, r); err != nil {
				return
			}
			continue
		}
		if fault.Lost != "" {
			c.cut(fault.Lost)
			return
		}
		far, fresh := c.dial()
		if far == nil {
			return
		}
		if fresh {
			answers.Go(func() { c.answers(far) })
		}
		if err := r.Write(far); err != nil {
			return
		}
		if r.Header.Get("Upgrade") != "" {
			_, _ = io.Copy(far, in)
			return
		}
	}
}

// dial returns the connection to the server, and whether it is a new one; nil when there is none to be had.
func (c *cable) dial() (far net.Conn, fresh bool) {
	c.mu.Lock()
	far = c.far
	c.mu.Unlock()
	if far != nil {
		return far, false
	}
	var dialer net.Dialer
	far, err := dialer.DialContext(c.proxy.ctx, "tcp", c.proxy.target)
	if err != nil {
		return nil, false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case <-c.ended:
		_ = far.Close()
		return nil, false
	default:
		c.far = far
		return far, true
	}
}

// piece is what the server sent at once, and when it may pass.
type piece struct {
	bytes []byte
	due   time.Time
	of    *exchange
}

// answers passes on what the server sends, until either side ends.
func (c *cable) answers(far net.Conn) {
	pieces := make(chan piece, 256) // what is on its way; a slow or frozen client stops the reading
	c.proxy.work.Go(func() {
		defer close(pieces)
		for {
			buffer := make([]byte, 16<<10)
			n, err := side{c, far}.Read(buffer)
			c.mu.Lock()
			x := c.now
			c.mu.Unlock()
			if n > 0 {
				select {
				case pieces <- piece{buffer[:n], time.Now().Add(x.fault.wait()), x}:
				case <-c.ended:
					return
				}
			}
			if err != nil {
				return
			}
		}
	})
	var last *exchange
	for p := range pieces {
		last = p.of
		if !c.sleep(time.Until(p.due)) || !c.answer(p.of, p.bytes) {
			c.cut(FIN)
			return
		}
	}
	if last != nil {
		c.pass(last, last.held)
	}
	c.cut(FIN)
}

// answer does to b, the next bytes of the answer, what x wants, and reports whether the cable is still there.
func (c *cable) answer(x *exchange, b []byte) bool {
	c.noteHead(x, b)
	skip := min(x.fault.Drop-x.dropped, len(b))
	x.dropped += skip
	b = b[skip:]
	if size := x.fault.Buffer; size != 0 {
		x.held = append(x.held, b...)
		if size < 0 {
			return true
		}
		whole := len(x.held) / size * size
		b, x.held = x.held[:whole], x.held[whole:]
	}
	return c.pass(x, b)
}

// pass writes b to the client as far as x allows, and reports whether the cable is still there.
func (c *cable) pass(x *exchange, b []byte) bool {
	if x.fault.End == "" || x.passed+len(b) < x.fault.After {
		return c.write(x, b)
	}
	last := max(0, x.fault.After-x.passed)
	if !c.write(x, b[:last]) {
		return false
	}
	end := x.fault.End
	x.fault.End = "" // who is thawed goes on
	if end != Freeze {
		c.cut(end)
		return false
	}
	c.freeze()
	return c.write(x, b[last:])
}

// write writes b to the client as fast as x allows.
func (c *cable) write(x *exchange, b []byte) bool {
	step := len(b)
	if x.fault.Rate > 0 {
		step = 1
	}
	for ; len(b) > 0; b = b[step:] {
		if !c.goOn() {
			return false
		}
		if _, err := c.near.Write(b[:step]); err != nil {
			return false
		}
		x.passed += step
		if x.fault.Rate > 0 && !c.sleep(time.Second/time.Duration(x.fault.Rate)) {
			return false
		}
	}
	return true
}

// noteHead logs the status and header of an answer as soon as they are whole.
func (c *cable) noteHead(x *exchange, b []byte) {
	if x.known || len(x.head) > largestHead {
		return
	}
	x.head = append(x.head, b...)
	for {
		end := bytes.Index(x.head, []byte("\r\n\r\n"))
		if end < 0 {
			return
		}
		answer, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(x.head[:end+4])), nil)
		x.head = x.head[end+4:]
		if err != nil {
			x.known = true
			return
		}
		_ = answer.Body.Close()
		if answer.StatusCode/100 != 1 || answer.StatusCode == http.StatusSwitchingProtocols { // else the answer itself is still to come
			c.proxy.answered(x.request, answer.StatusCode, answer.Header)
			x.known, x.head = true, nil
			return
		}
	}
}
