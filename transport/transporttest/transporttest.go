// Package transporttest holds what every transport must do as tests: the same stream, whatever it looks like on the
// wire (docs/protocol.md §4). They know a transport by two functions, so that none is tested by rules of its own.
package transporttest

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/engine/disk"
	"github.com/roxyhub/roxy/hub"
	"github.com/roxyhub/roxy/internal/fanout"
)

// Transport is one way of subscribing, seen from both of its ends.
type Transport struct {
	// Handler serves streams of h to who.
	Handler func(h *hub.Hub, who roxy.Identity) http.Handler
	// Subscribe asks for a stream over conn, by the parameters of docs/protocol.md §4, and returns what reads its events.
	// When the stream has ended as the transport's rules want it, next returns io.EOF.
	Subscribe func(conn net.Conn, query url.Values) (next func() (Event, error), err error)

	listen func(net.Listener) net.Listener // nil in cleartext
}

// Secure returns tr over TLS of the version, served by a hub's listener.
func Secure(tr Transport, version uint16) Transport {
	lent := httptest.NewTLSServer(nil) // it has a certificate
	defer lent.Close()
	config := lent.TLS.Clone()
	tr.listen = func(l net.Listener) net.Listener { return fanout.NewTLSListener(l, config) }
	subscribe := tr.Subscribe
	tr.Subscribe = func(conn net.Conn, query url.Values) (func() (Event, error), error) {
		return subscribe(tls.Client(conn, &tls.Config{MinVersion: version, MaxVersion: version, InsecureSkipVerify: true}), query) //nolint:gosec // a test's own server
	}
	return tr
}

// Event is one event as a client has it.
type Event struct {
	ID, Type string
	Data     string // JSON
}

// Run proves that tr streams as every transport does.
func Run(t *testing.T, tr Transport) {
	t.Helper()
	for _, law := range slices.Concat(laws(), entityLaws(), deviceLaws()) {
		t.Run(law.name, func(t *testing.T) {
			t.Parallel() // they wait more than they work
			law.holds(t, tr)
		})
	}
}

type law struct {
	name  string
	holds func(t *testing.T, tr Transport)
}

// site is a hub that serves the transport on a socket.
type site struct {
	*hub.Hub
	tr     Transport
	engine *disk.Engine
	who    roxy.Identity
	addr   string
}

// open starts a hub; whose streams are that of a waiter, after change.
func open(t *testing.T, tr Transport, change func(*roxy.Identity)) *site {
	t.Helper()
	engine, err := disk.Open("data", disk.Options{FS: vfs.NewMem()})
	if err != nil {
		t.Fatal(err)
	}
	h, err := hub.Start(t.Context(), engine, hub.Options{MaxEventBytes: 128 << 10})
	if err != nil {
		t.Fatal(err)
	}
	everything, err := roxy.ParsePattern("**")
	if err != nil {
		t.Fatal(err)
	}
	grant := roxy.Grant{Read: []roxy.Pattern{everything}, Publish: []roxy.Pattern{everything}, Write: []roxy.Pattern{everything}}
	s := &site{Hub: h, tr: tr, engine: engine, who: roxy.Identity{
		Tenant: "bar", User: "u7", Roles: []string{"waiter"}, TokenID: "t1", Token: grant, Grant: grant, Expires: time.Now().Add(time.Hour),
	}}
	if change != nil {
		change(&s.who)
	}
	server := httptest.NewUnstartedServer(tr.Handler(h, s.who))
	server.Config.Protocols = new(http.Protocols)
	server.Config.Protocols.SetHTTP1(true)
	server.Config.Protocols.SetUnencryptedHTTP2(true)
	if tr.listen != nil {
		server.Listener = tr.listen(server.Listener)
	}
	server.Start()
	s.addr = server.Listener.Addr().String()
	t.Cleanup(func() {
		s.stop(t)
		server.Close()
		if err := engine.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// stop closes the hub, which says goodbye to its streams.
func (s *site) stop(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 20*time.Second)
	defer cancel()
	if err := s.Close(ctx); err != nil {
		t.Error(err)
	}
}

// stream is a subscription as its client has it.
type stream struct {
	conn net.Conn
	read func() (Event, error)
}

// subscribe opens a stream over a connection that wrap may alter.
func (s *site) subscribe(t *testing.T, query string, wrap func(net.Conn) net.Conn) *stream {
	t.Helper()
	st, err := s.dial(t, query, wrap)
	if err != nil {
		t.Fatal(err)
	}
	return st
}

func (s *site) dial(t *testing.T, query string, wrap func(net.Conn) net.Conn) (*stream, error) {
	t.Helper()
	var d net.Dialer
	conn, err := d.DialContext(t.Context(), "tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if wrap != nil {
		conn = wrap(conn)
	}
	values, err := url.ParseQuery(query)
	if err != nil {
		t.Fatal(err)
	}
	next, err := s.tr.Subscribe(conn, values)
	return &stream{conn, next}, err
}

func (st *stream) next(t *testing.T) Event {
	t.Helper()
	e, err := st.read()
	if err != nil {
		t.Fatalf("the stream ended: %v", err)
	}
	return e
}

// until returns the events up to the first of the type, and that.
func (st *stream) until(t *testing.T, eventType string) (before []Event, e Event) {
	t.Helper()
	for {
		if e := st.next(t); e.Type == eventType {
			return before, e
		} else if before = append(before, e); len(before) > 10_000 {
			t.Fatalf("no %s among 10,000 events", eventType)
		}
	}
}

// bye wants the stream to end with a goodbye for the reason, and nothing behind it.
func (st *stream) bye(t *testing.T, reason hub.Reason) {
	t.Helper()
	_, e := st.until(t, "roxy:bye")
	var bye hub.Bye
	if err := json.Unmarshal([]byte(e.Data), &bye); err != nil || bye.Reason != reason || bye.Retry <= 0 || e.ID != "" {
		t.Errorf("got %+v, want %s", e, reason)
	}
	if e, err := st.read(); !errors.Is(err, io.EOF) {
		t.Errorf("behind the goodbye: %+v, %v", e, err)
	}
}

// publish commits one event with each data on orders/1, of type order:new, after change.
func (s *site) publish(t *testing.T, change func(*roxy.Event), data ...string) []hub.Published {
	t.Helper()
	topic, err := roxy.ParseTopic("orders/1")
	if err != nil {
		t.Fatal(err)
	}
	events := make([]roxy.Event, 0, len(data))
	for _, d := range data {
		e := roxy.Event{Topic: topic, Type: "order:new", Data: []byte(d)}
		if change != nil {
			change(&e)
		}
		events = append(events, e)
	}
	published, err := s.Publish(t.Context(), s.who, events)
	if err != nil {
		t.Fatal(err)
	}
	return published
}

// orders are the data of those of events that were published by publish.
func orders(t *testing.T, events []Event) []string {
	t.Helper()
	var all []string
	for _, e := range events {
		if strings.HasPrefix(e.Type, "roxy:") {
			continue
		}
		var envelope struct{ Data json.RawMessage }
		if err := json.Unmarshal([]byte(e.Data), &envelope); err != nil {
			t.Fatalf("%q: %v", e.Data, err)
		}
		all = append(all, string(envelope.Data))
	}
	return all
}

func types(events []Event) []string {
	var all []string
	for _, e := range events {
		all = append(all, e.Type)
	}
	return all
}

func numbers(from, to int) []string {
	var all []string
	for i := from; i < to; i++ {
		all = append(all, fmt.Sprint(i))
	}
	return all
}

func same(t *testing.T, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("got %.300q\nwant %.300q", got, want)
	}
}
