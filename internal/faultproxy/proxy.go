// Package faultproxy passes HTTP/1.1 and WebSockets between clients and one server over real sockets, and does to them what
// networks and proxies do: it cuts, freezes, delays, holds back, refuses and answers in the server's place. It keeps a log of
// what was asked. It knows nothing of events.
package faultproxy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

// Request is one request that reached the proxy. It holds no query, in which there may be tickets.
type Request struct {
	// At is when it came, in milliseconds since the proxy began.
	At int64 `json:"at"`
	// Client is the name in a first segment ~NAME of the path, which the server does not see.
	Client string `json:"client,omitempty"`
	Method string `json:"method"`
	Path   string `json:"path"`
	// Begun is what the query said as "begun", which the server does not see: by the client's clock, in milliseconds.
	Begun string `json:"begun,omitempty"`
	// Harm is what a fault does to it: lost, answer, end, buffer, rate, drop or delay, the first of these that the fault has.
	Harm string `json:"harm,omitempty"`
	// Status and Header are those of the answer, once that began. An answer that a fault spoils from its beginning has them too.
	Status int         `json:"status,omitempty"`
	Header http.Header `json:"-"`
}

// Proxy stands before one server until Close. Its methods are safe for concurrent use.
type Proxy struct {
	target  string
	address string
	began   time.Time
	ctx     context.Context //nolint:containedctx // it is the proxy's life: connections outlive the call that starts them
	cancel  context.CancelFunc
	work    sync.WaitGroup

	mu       sync.Mutex
	listener net.Listener // nil while connections are refused
	cables   []*cable     // open ones, in the order in which they came
	faults   []Fault
	log      []*Request
}

// Start listens on a free loopback port for clients of the server at target, HOST:PORT, which need not be there yet.
func Start(target string) (*Proxy, error) {
	if _, _, err := net.SplitHostPort(target); err != nil {
		return nil, fmt.Errorf("target: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	p := &Proxy{target: target, began: time.Now(), ctx: ctx, cancel: cancel}
	if err := p.listen("127.0.0.1:0"); err != nil {
		cancel()
		return nil, err
	}
	return p, nil
}

// Addr is where clients connect, HOST:PORT.
func (p *Proxy) Addr() string { return p.address }

// Close ends all connections and waits until nothing of the proxy runs.
func (p *Proxy) Close() {
	p.cancel()
	p.mu.Lock()
	if p.listener != nil {
		_ = p.listener.Close()
		p.listener = nil
	}
	p.mu.Unlock()
	p.work.Wait()
}

// Refuse makes connections to the proxy fail from now on, as where nothing listens, or ends that. Open ones go on.
func (p *Proxy) Refuse(refuse bool) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.ctx.Err() != nil:
		return errors.New("refuse: the proxy is closed")
	case refuse && p.listener != nil:
		err := p.listener.Close()
		p.listener = nil
		return err
	case !refuse && p.listener == nil:
		return p.listen(p.address)
	}
	return nil
}

// listen accepts connections until the listener is closed. The caller holds mu, or nobody else knows p.
func (p *Proxy) listen(address string) error {
	var config net.ListenConfig
	l, err := config.Listen(p.ctx, "tcp", address)
	if err != nil {
		return err
	}
	p.listener, p.address = l, l.Addr().String()
	p.work.Go(func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			p.work.Go(func() { p.serve(near.(*net.TCPConn)) })
		}
	})
	return nil
}

func (p *Proxy) serve(near *net.TCPConn) {
	c := newCable(p, near)
	stop := context.AfterFunc(p.ctx, func() { c.cut(FIN) })
	defer stop()
	p.mu.Lock()
	p.cables = append(p.cables, c)
	p.mu.Unlock()
	c.requests()
	c.cut(FIN)
	p.mu.Lock()
	p.cables = slices.DeleteFunc(p.cables, func(other *cable) bool { return other == c })
	p.mu.Unlock()
}

// Break has faults do their harm to requests from now on. Of those that are for a request the first counts; they come before
// those of an earlier call.
func (p *Proxy) Break(faults ...Fault) error {
	for i, f := range faults {
		if err := f.check(); err != nil {
			return fmt.Errorf("faults[%d].%w", i, err)
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults = slices.Concat(faults, p.faults)
	return nil
}

// Mend forgets all faults: requests from now on pass. What has befallen open connections stays.
func (p *Proxy) Mend() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults = nil
}

// Cut ends open connections whose last request is at w, the oldest first, and returns how many.
func (p *Proxy) Cut(w Where, how End, most int) (int, error) {
	if how != FIN && how != RST {
		return 0, fmt.Errorf("end: %q, want %q or %q", how, FIN, RST)
	}
	return p.each(w, most, func(c *cable) bool { return c.cut(how) }), nil
}

// Freeze makes open connections whose last request is at w half-open, the oldest first: nothing more is read or written on
// either side, and nobody is told. It returns how many.
func (p *Proxy) Freeze(w Where, most int) int { return p.each(w, most, (*cable).freeze) }

// Thaw lets frozen connections whose last request is at w go on as if nothing had been, and returns how many.
func (p *Proxy) Thaw(w Where) int { return p.each(w, 0, (*cable).thaw) }

// each calls do for at most so many cables at w, all for 0, and counts those for which it did something.
func (p *Proxy) each(w Where, most int, do func(*cable) bool) (n int) {
	p.mu.Lock()
	cables := slices.Clone(p.cables)
	p.mu.Unlock()
	for _, c := range cables {
		if most > 0 && n == most {
			break
		}
		if r := c.last(); r != nil && w.is(r) && do(c) {
			n++
		}
	}
	return n
}

// Log returns the requests so far, in their order.
func (p *Proxy) Log() []Request {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := make([]Request, len(p.log))
	for i, r := range p.log {
		all[i] = *r
	}
	return all
}

// asked takes note of a request, which is c's last from then on, takes from it what is not for the server, and returns what is
// to befall it.
func (p *Proxy) asked(c *cable, r *http.Request) (*Request, Fault) {
	at := &Request{At: time.Since(p.began).Milliseconds(), Method: r.Method, Path: r.URL.Path}
	if rest, ok := strings.CutPrefix(at.Path, "/~"); ok {
		name, path, _ := strings.Cut(rest, "/")
		at.Client, at.Path = name, "/"+path
		r.URL.RawPath = strings.TrimPrefix(r.URL.RawPath, "/~"+url.PathEscape(name))
		r.URL.Path = at.Path
	}
	if q := r.URL.Query(); q.Has("begun") {
		at.Begun = q.Get("begun")
		q.Del("begun")
		r.URL.RawQuery = q.Encode()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	fault := p.faultOf(at)
	at.Harm = fault.harm()
	c.asks(&exchange{request: at, fault: fault}) // before the log says so, for whoever reads it and cuts
	p.log = append(p.log, at)
	return at, fault
}

// faultOf returns what is to befall r, and has one less of it. The caller holds mu.
func (p *Proxy) faultOf(r *Request) Fault {
	for i, f := range p.faults {
		if !f.is(r) {
			continue
		}
		if f.Times == 1 {
			p.faults = slices.Delete(p.faults, i, i+1)
		} else if f.Times > 0 {
			p.faults[i].Times--
		}
		return f
	}
	return Fault{}
}

// answered takes note of how the answer to r begins.
func (p *Proxy) answered(r *Request, status int, header http.Header) {
	p.mu.Lock()
	defer p.mu.Unlock()
	r.Status, r.Header = status, header
}
