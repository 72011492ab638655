package hub

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.uber.org/goleak"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/engine/disk"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// lineEncoding spells an event as one line: E OFFSET TYPE ENVELOPE, or C TYPE DATA for the hub's own.
type lineEncoding struct{}

func (lineEncoding) Name() string { return "line" }

func (lineEncoding) AppendEvent(dst []byte, c roxy.Cursor, eventType string, envelope []byte) []byte {
	return fmt.Appendf(dst, "E %d %s %s\n", c.Offset, eventType, envelope)
}

func (lineEncoding) AppendControl(dst []byte, c Control) []byte {
	data, err := json.Marshal(c.Data)
	if err != nil {
		panic(err)
	}
	return fmt.Appendf(dst, "C %s %s\n", c.Type, data)
}

// recorder is a way out that keeps what it is given. While it is held, Write blocks as a full socket does.
type recorder struct {
	mu       sync.Mutex
	text     bytes.Buffer
	gzip     bool // text is compressed
	moved    chan struct{}
	held     chan struct{} // closed to let go
	waiting  chan struct{} // readable when a Write was held
	deadline time.Time
	expired  chan struct{}
}

func newRecorder() *recorder {
	return &recorder{moved: make(chan struct{}), expired: make(chan struct{}), waiting: make(chan struct{}, 1)}
}

func (r *recorder) Write(p []byte) error {
	r.mu.Lock()
	held := r.held
	r.mu.Unlock()
	if held != nil {
		select {
		case r.waiting <- struct{}{}:
		default:
		}
	}
	for held != nil {
		r.mu.Lock()
		left, moved := time.Until(r.deadline), r.expired
		r.mu.Unlock()
		select {
		case <-held:
			held = nil
		case <-moved: // another deadline
		case <-time.After(left):
			return os.ErrDeadlineExceeded
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.text.Write(p)
	close(r.moved)
	r.moved = make(chan struct{})
	return nil
}

func (r *recorder) SetDeadline(t time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.deadline = t
	close(r.expired)
	r.expired = make(chan struct{})
}

// hold makes Writes block until the returned func is called.
func (r *recorder) hold() (letGo func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	held := make(chan struct{})
	r.held = held
	return sync.OnceFunc(func() {
		r.mu.Lock()
		r.held = nil
		r.mu.Unlock()
		close(held)
	})
}

func (r *recorder) lines() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	text := r.text.Bytes()
	if r.gzip && len(text) > 0 {
		z, err := gzip.NewReader(bytes.NewReader(text))
		if err != nil {
			panic(err)
		}
		if text, err = io.ReadAll(z); !errors.Is(err, io.ErrUnexpectedEOF) && err != nil { // the stream was cut
			panic(err)
		}
	}
	return strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
}

// await returns the lines once done says that they are enough.
func (r *recorder) await(t *testing.T, what string, done func(lines []string) bool) []string {
	t.Helper()
	timeout := time.After(20 * time.Second)
	for {
		r.mu.Lock()
		moved := r.moved
		r.mu.Unlock()
		lines := r.lines()
		if done(lines) {
			return lines
		}
		select {
		case <-moved:
		case <-timeout:
			t.Fatalf("no %s after 20 s; got %d lines, the last: %s", what, len(lines), lines[len(lines)-1])
		}
	}
}

func (r *recorder) awaitLine(t *testing.T, prefix string) string {
	t.Helper()
	lines := r.await(t, prefix, func(lines []string) bool {
		for _, l := range lines {
			if strings.HasPrefix(l, prefix) {
				return true
			}
		}
		return false
	})
	for _, l := range lines {
		if strings.HasPrefix(l, prefix) {
			return l
		}
	}
	return ""
}

// events returns the offsets and the data of the events among lines.
func events(lines []string) (offsets []uint64, data []string) {
	for _, l := range lines {
		var offset uint64
		var eventType string
		if _, err := fmt.Sscanf(l, "E %d %s ", &offset, &eventType); err != nil {
			continue
		}
		offsets = append(offsets, offset)
		_, rest, _ := strings.Cut(l, `"data":`)
		data = append(data, strings.TrimSuffix(rest, "}"))
	}
	return offsets, data
}

type fixture struct {
	*Hub
	engine *disk.Engine
}

func startHub(t *testing.T, opts Options) fixture {
	t.Helper()
	return startIn(t, t.TempDir(), opts, disk.Options{})
}

// startQuick starts a hub whose disk is never slow: for tests that hold a stream for less than what makes it slow.
func startQuick(t *testing.T, opts Options) fixture {
	t.Helper()
	return startIn(t, "data", opts, disk.Options{FS: vfs.NewMem()})
}

func startIn(t *testing.T, dir string, opts Options, store disk.Options) fixture {
	t.Helper()
	e, err := disk.Open(dir, store)
	if err != nil {
		t.Fatal(err)
	}
	h, err := Start(t.Context(), e, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := h.Close(ctx); err != nil {
			t.Error(err)
		}
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return fixture{h, e}
}

// all is an identity that may do everything in its tenant.
func all(t *testing.T, tenant, user string, roles ...string) roxy.Identity {
	t.Helper()
	everything := []roxy.Pattern{pattern(t, "**")}
	return roxy.Identity{Tenant: tenant, User: user, Roles: roles, Grant: roxy.Grant{Read: everything, Publish: everything, Write: everything}}
}

// subscribe runs a stream until the test ends or stop is called; stop waits for its end and returns what Subscribe did.
func (f fixture) subscribe(t *testing.T, sub Subscription) (r *recorder, stop func() error) {
	t.Helper()
	r = newRecorder()
	return r, f.follow(t, sub, r)
}

// follow is subscribe with a way out of its own.
func (f fixture) follow(t *testing.T, sub Subscription, r *recorder) (stop func() error) {
	t.Helper()
	if sub.Transport = "test"; sub.Encoding == nil {
		sub.Encoding = lineEncoding{}
	}
	if sub.Heartbeat == 0 {
		sub.Heartbeat = time.Minute
	}
	ctx, cancel := context.WithCancel(context.Background())
	over := make(chan error, 1)
	go func() { over <- f.Subscribe(ctx, sub, r) }()
	stop = sync.OnceValue(func() error {
		cancel()
		return <-over
	})
	t.Cleanup(func() { _ = stop() })
	return stop
}

func (f fixture) publish(t *testing.T, by roxy.Identity, events ...roxy.Event) []Published {
	t.Helper()
	p, err := f.Publish(t.Context(), by, events)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func event(t *testing.T, topic, data string) roxy.Event {
	t.Helper()
	parsed, err := roxy.ParseTopic(topic)
	if err != nil {
		t.Fatal(err)
	}
	return roxy.Event{Topic: parsed, Data: []byte(data)}
}

func problem(t *testing.T, err error, code roxy.Code, member string) {
	t.Helper()
	var p *roxy.Problem
	if !errors.As(err, &p) || p.Code != code || p.Member != member {
		t.Errorf("got %v, want %s at %q", err, code, member)
	}
}
