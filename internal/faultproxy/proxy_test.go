package faultproxy

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// server is one behind a proxy. What is sent to lines goes out on a stream, one by one; to close it ends that.
type server struct {
	proxy *Proxy
	lines chan string
	heard chan string // method, path and query of each request
}

func start(t *testing.T) *server {
	t.Helper()
	s := &server{lines: make(chan string), heard: make(chan string, 100)}
	mux := http.NewServeMux()
	mux.HandleFunc("/whole", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, "whole")
	})
	mux.HandleFunc("/stream", func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).Flush()
		for {
			select {
			case line, ok := <-s.lines:
				if !ok {
					return
				}
				_, _ = fmt.Fprintln(w, line)
				_ = http.NewResponseController(w).Flush()
			case <-r.Context().Done():
				return
			}
		}
	})
	mux.HandleFunc("/socket", func(w http.ResponseWriter, _ *http.Request) {
		conn, both, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
		_, _ = io.Copy(conn, both)
		_ = conn.Close()
	})
	behind := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.heard <- r.Method + " " + r.URL.RequestURI()
		mux.ServeHTTP(w, r)
	}))
	p, err := Start(behind.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	s.proxy = p
	t.Cleanup(func() {
		p.Close()
		behind.Close()
	})
	return s
}

func (s *server) breaks(t *testing.T, faults ...Fault) {
	t.Helper()
	if err := s.proxy.Break(faults...); err != nil {
		t.Fatal(err)
	}
}

// client is a connection to the proxy.
type client struct {
	*testing.T
	conn net.Conn
	in   *bufio.Reader
}

// ask sends a request on a connection of its own.
func (s *server) ask(t *testing.T, method, path string, more ...string) *client {
	t.Helper()
	var dialer net.Dialer
	conn, err := dialer.DialContext(t.Context(), "tcp", s.proxy.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	c := &client{t, conn, bufio.NewReader(conn)}
	c.ask(method, path, more...)
	return c
}

func (c *client) ask(method, path string, more ...string) {
	c.Helper()
	if _, err := fmt.Fprintf(c.conn, "%s %s HTTP/1.1\r\nHost: h\r\n%s\r\n", method, path, strings.Join(more, "")); err != nil {
		c.Fatal(err)
	}
}

// answered is how an answer begins, and what reads the rest.
type answered struct {
	status int
	header http.Header
	body   io.Reader
}

func (c *client) answer() answered {
	c.Helper()
	r, err := http.ReadResponse(c.in, nil)
	if err != nil {
		c.Fatal(err)
	}
	c.Cleanup(func() { _ = r.Body.Close() })
	return answered{r.StatusCode, r.Header, r.Body}
}

// gets wants lines of the body of an answer, whose end and chunks are the transport's.
func (c *client) gets(body io.Reader, want ...string) {
	c.Helper()
	in, ok := body.(*bufio.Reader)
	if !ok {
		in = bufio.NewReaderSize(body, 16)
	}
	for _, w := range want {
		line, err := in.ReadString('\n')
		if err != nil || line != w+"\n" {
			c.Fatalf("got %q, %v, want %q", line, err, w)
		}
	}
}

// nothing wants that nothing comes, not even an end, in a moment.
func (c *client) nothing() {
	c.Helper()
	_ = c.conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	b, err := c.in.ReadByte()
	var late net.Error
	if !errors.As(err, &late) || !late.Timeout() {
		c.Fatalf("got %q, %v", b, err)
	}
	_ = c.conn.SetReadDeadline(time.Time{})
}

// whole wants the answer of /whole.
func (c *client) whole() {
	c.Helper()
	if text, err := io.ReadAll(c.answer().body); err != nil || string(text) != "whole" {
		c.Fatalf("got %q, %v", text, err)
	}
}

func TestWithoutFaultsEverythingPasses(t *testing.T) {
	s := start(t)
	c := s.ask(t, "POST", "/~tablet%201/whole?topic=orders%2F*&begun=12.5", "Content-Length: 3\r\n\r\nabc"[:19])
	_, _ = io.WriteString(c.conn, "abc")
	c.whole()
	c.ask("GET", "/whole") // on the same connection
	c.whole()
	if first, second := <-s.heard, <-s.heard; first != "POST /whole?topic=orders%2F%2A" || second != "GET /whole" {
		t.Errorf("the server heard %q and %q", first, second)
	}
	log := s.proxy.Log()
	if len(log) != 2 || log[0].Client != "tablet 1" || log[0].Begun != "12.5" || log[0].Path != "/whole" || log[0].Status != 200 || log[1].Header.Get("Content-Length") != "5" {
		t.Errorf("log: %+v", log)
	}
}

func TestSocketsPassBothWays(t *testing.T) {
	s := start(t)
	c := s.ask(t, "GET", "/socket", "Connection: Upgrade\r\nUpgrade: echo\r\n")
	if r := c.answer(); r.status != http.StatusSwitchingProtocols {
		t.Fatalf("status %d", r.status)
	}
	_, _ = io.WriteString(c.conn, "one\n")
	c.gets(c.in, "one")
	if n, err := s.proxy.Cut(Where{Match: "GET /socket"}, RST, 0); n != 1 || err != nil {
		t.Fatalf("cut %d, %v", n, err)
	}
	if _, err := c.in.ReadByte(); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("after a reset: %v", err)
	}
}

func TestCutsEndOpenConnections(t *testing.T) {
	for how, want := range map[End]error{FIN: io.ErrUnexpectedEOF, RST: syscall.ECONNRESET} {
		t.Run(string(how), func(t *testing.T) {
			s := start(t)
			one, other := s.ask(t, "GET", "/~a/stream"), s.ask(t, "GET", "/~b/whole")
			other.whole()
			body := one.answer().body
			if n, err := s.proxy.Cut(Where{Client: "a"}, how, 0); n != 1 || err != nil {
				t.Fatalf("cut %d, %v", n, err)
			}
			if _, err := io.ReadAll(body); !errors.Is(err, want) {
				t.Errorf("the stream ended by %v", err)
			}
			other.ask("GET", "/~b/whole")
			other.whole()
		})
	}
}

func TestACutCanFallIntoAnEvent(t *testing.T) {
	s := start(t)
	s.ask(t, "GET", "/whole").whole()
	s.breaks(t, Fault{Where: Where{Match: "GET /stream"}, End: FIN, After: len("HTTP/1.1 200 OK\r\nx\r\n")})
	text, err := io.ReadAll(s.ask(t, "GET", "/stream").conn)
	if err != nil || string(text) != "HTTP/1.1 200 OK\r\nDat" {
		t.Errorf("got %q, %v", text, err)
	}
}

func TestAFrozenConnectionSaysNothingUntilItThaws(t *testing.T) {
	s := start(t)
	c := s.ask(t, "GET", "/stream")
	body := c.answer().body
	s.lines <- "one"
	c.gets(body, "one")
	if n := s.proxy.Freeze(Where{}, 0); n != 1 {
		t.Fatalf("froze %d", n)
	}
	s.lines <- "two"
	close(s.lines) // the server's end is not told either
	c.nothing()
	if n := s.proxy.Thaw(Where{}); n != 1 {
		t.Fatalf("thawed %d", n)
	}
	c.gets(body, "two")
	if _, err := io.ReadAll(body); err != nil {
		t.Errorf("the end: %v", err)
	}
}

func TestAConnectionCanFreezeAmidAnAnswer(t *testing.T) {
	s := start(t)
	s.breaks(t, Fault{End: Freeze, After: 10})
	c := s.ask(t, "GET", "/whole")
	if text, err := c.in.Peek(10); err != nil || string(text) != "HTTP/1.1 2" {
		t.Fatalf("got %q, %v", text, err)
	}
	_, _ = c.in.Discard(10)
	c.nothing()
	if n := s.proxy.Thaw(Where{}); n != 1 {
		t.Fatalf("thawed %d", n)
	}
	if line, err := c.in.ReadString('\n'); err != nil || line != "00 OK\r\n" {
		t.Errorf("then %q, %v", line, err)
	}
}

func TestALostRequestNeverReachesTheServer(t *testing.T) {
	s := start(t)
	s.breaks(t, Fault{Where: Where{Match: "POST /"}, Times: 1, Lost: RST})
	if _, err := s.ask(t, "POST", "/whole").in.ReadByte(); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the lost one: %v", err)
	}
	s.ask(t, "POST", "/whole").whole()
	if len(s.heard) != 1 {
		t.Errorf("the server heard %d requests", len(s.heard))
	}
}

func TestDelaysHoldEachPiece(t *testing.T) {
	s := start(t)
	s.breaks(t, Fault{Delay: 40, Jitter: 20})
	began := time.Now()
	s.ask(t, "GET", "/whole").whole()
	if took := time.Since(began); took < 80*time.Millisecond { // there and back
		t.Errorf("took %s", took)
	}
}

func TestASlowCableBringsByteAfterByte(t *testing.T) {
	s := start(t)
	s.breaks(t, Fault{Rate: 1})
	c := s.ask(t, "GET", "/whole")
	var b [100]byte
	for _, want := range "HT" {
		if n, err := c.conn.Read(b[:]); n != 1 || err != nil || b[0] != byte(want) {
			t.Fatalf("got %q, %v", b[:n], err)
		}
	}
}

func TestAFirstByteCanBeMissing(t *testing.T) {
	s := start(t)
	s.breaks(t, Fault{Drop: 1})
	if line, err := s.ask(t, "GET", "/whole").in.ReadString('\n'); err != nil || line != "TTP/1.1 200 OK\r\n" {
		t.Errorf("got %q, %v", line, err)
	}
}

func TestABufferHoldsAnswersBack(t *testing.T) {
	t.Run("until they end", func(t *testing.T) {
		s := start(t)
		s.breaks(t, Fault{Buffer: -1})
		c := s.ask(t, "GET", "/stream", "Connection: close\r\n")
		s.lines <- "one"
		c.nothing()
		close(s.lines)
		c.gets(c.answer().body, "one")
	})
	t.Run("until they fill it", func(t *testing.T) {
		s := start(t)
		s.breaks(t, Fault{Buffer: 1024})
		c := s.ask(t, "GET", "/stream", "Connection: close\r\n")
		s.lines <- "one"
		c.nothing()
		s.lines <- strings.Repeat("x", 1024)
		first, err := c.in.Peek(1024)
		if err != nil || !bytes.Contains(first, []byte("one\n")) {
			t.Errorf("got %q, %v", first, err)
		}
		_, _ = c.in.Discard(1024)
		c.nothing()
		close(s.lines)
		if rest, err := io.ReadAll(c.in); err != nil || !bytes.HasSuffix(rest, []byte("0\r\n\r\n")) {
			t.Errorf("at the end %q, %v", rest, err)
		}
	})
}

func TestAnswersFollowTheScript(t *testing.T) {
	s := start(t)
	s.breaks(t,
		Fault{Where: Where{Match: "GET /whole"}, Times: 1, Answer: &Answer{Status: 401}},
		Fault{Where: Where{Match: "GET /whole"}, Times: 1, Answer: &Answer{Status: 429, Header: map[string]string{"Retry-After": "7"}, Body: "slower"}},
		Fault{Where: Where{Client: "a"}, Answer: &Answer{Status: 503}},
	)
	c := s.ask(t, "GET", "/whole")
	for i, want := range []string{"401  ", "429 7 slower", "200  whole"} {
		if i > 0 {
			c.ask("GET", "/whole")
		}
		r := c.answer()
		text, _ := io.ReadAll(r.body)
		if got := fmt.Sprintf("%d %s %s", r.status, r.header.Get("Retry-After"), text); got != want {
			t.Errorf("answer %d: %q, want %q", i, got, want)
		}
	}
	if r := s.ask(t, "GET", "/~a/whole").answer(); r.status != 503 {
		t.Errorf("for one client: %d", r.status)
	}
	if log := s.proxy.Log(); log[1].Status != 429 || log[1].Harm != "answer" || log[2].Harm != "" || len(s.heard) != 1 {
		t.Errorf("log %+v, the server heard %d", log, len(s.heard))
	}
	s.breaks(t, Fault{Times: 2, Answer: &Answer{Status: 404}}) // before what is left of the script
	for i, want := range []int{404, 404, 503} {
		if got := s.ask(t, "GET", "/~a/whole").answer().status; got != want {
			t.Errorf("then answer %d: %d, want %d", i, got, want)
		}
	}
	s.proxy.Mend()
	s.ask(t, "GET", "/~a/whole").whole()
}

func TestConnectionsAreRefusedUntilTheyAreNot(t *testing.T) {
	s := start(t)
	c := s.ask(t, "GET", "/whole")
	c.whole()
	for range 2 { // to say it twice is harmless
		if err := s.proxy.Refuse(true); err != nil {
			t.Fatal(err)
		}
	}
	var dialer net.Dialer
	if _, err := dialer.DialContext(t.Context(), "tcp", s.proxy.Addr()); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("dial: %v", err)
	}
	c.ask("GET", "/whole") // on the open one
	c.whole()
	for range 2 {
		if err := s.proxy.Refuse(false); err != nil {
			t.Fatal(err)
		}
	}
	s.ask(t, "GET", "/whole").whole()
}

func TestACableEndsWhereTheServerIsGone(t *testing.T) {
	p, err := Start("127.0.0.1:1")
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	s := &server{proxy: p}
	if _, err := s.ask(t, "GET", "/").in.ReadByte(); !errors.Is(err, io.EOF) {
		t.Errorf("got %v", err)
	}
}

func TestAFaultThatMeansNothingIsRefusedByItsMember(t *testing.T) {
	s := start(t)
	for want, f := range map[string]Fault{
		`faults[0].times: -1, want at least 0`:                                                         {Times: -1},
		`faults[0].buffer: -2, want at least -1`:                                                       {Buffer: -2},
		`faults[0].answer.status: 99, want 200 to 599`:                                                 {Answer: &Answer{Status: 99}},
		`faults[0].answer: does not go together with lost or end`:                                      {Answer: &Answer{Status: 200}, End: FIN},
		`faults[0].lost: "freeze", want "fin" or "rst"`:                                                {Lost: Freeze},
		`faults[0].end: "cut", want "fin", "rst" or "freeze"`:                                          {End: "cut"},
		`faults[0].after: means nothing without end`:                                                   {After: 3},
		`faults[0].match: "/v1/stream", want a method and how a path begins, such as "GET /v1/stream"`: {Where: Where{Match: "/v1/stream"}},
		`faults[0].match: "GET v1", want a method and how a path begins, such as "GET /v1/stream"`:     {Where: Where{Match: "GET v1"}},
	} {
		if err := s.proxy.Break(f); err == nil || err.Error() != want {
			t.Errorf("%+v: %v, want %s", f, err, want)
		}
	}
	if _, err := s.proxy.Cut(Where{}, "cut", 0); err == nil {
		t.Error("cut by cut")
	}
	if _, err := Start("localhost"); err == nil {
		t.Error("a target without a port")
	}
}

func TestAClosedProxyListensNoMore(t *testing.T) {
	s := start(t)
	s.ask(t, "GET", "/stream").answer()
	s.proxy.Close()
	if err := s.proxy.Refuse(false); err == nil {
		t.Error("it listens again")
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	var dialer net.Dialer
	if _, err := dialer.DialContext(ctx, "tcp", s.proxy.Addr()); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("dial: %v", err)
	}
}
