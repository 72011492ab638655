package webhook

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/engine/disk"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		child(dir, os.Getenv(childURL))
		return
	}
	goleak.VerifyTestMain(m)
}

const secretText = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

func secret(t testing.TB) Secret {
	t.Helper()
	s, err := ParseSecret(secretText)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// delivery is one request as the receiver read it.
type delivery struct {
	id, timestamp string
	status        int // that it was answered
	body          map[string]any
}

func (d *delivery) cursor() string { return fmt.Sprint(d.body["cursor"]) }
func (d *delivery) tenant() string { return fmt.Sprint(d.body["tenant"]) }

// receiver is somebody's HTTP server. It answers as answers says, one request at a time.
type receiver struct {
	t      *testing.T
	answer func(w http.ResponseWriter, d *delivery) (status int)

	mu         sync.Mutex
	deliveries []delivery
	changed    chan struct{} // closed with the next delivery
	address    string
	server     *http.Server
	done       chan struct{}
}

// receive starts a receiver that takes everything.
func receive(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{t: t, address: "127.0.0.1:0", changed: make(chan struct{})}
	r.up()
	t.Cleanup(r.down)
	return r
}

func (r *receiver) url() string { return "http://" + r.address + "/dead-letters" }

// answers has it answer as answer says from now on; nil takes everything.
func (r *receiver) answers(answer func(w http.ResponseWriter, d *delivery) (status int)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answer = answer
}

// up has the receiver listen where it did before.
func (r *receiver) up() {
	r.t.Helper()
	var listen net.ListenConfig
	l, err := listen.Listen(r.t.Context(), "tcp", r.address)
	if err != nil {
		r.t.Fatal(err)
	}
	r.address = l.Addr().String()
	r.server = &http.Server{Handler: r, ReadHeaderTimeout: time.Minute}
	r.done = make(chan struct{})
	go func() {
		defer close(r.done)
		_ = r.server.Serve(l)
	}()
}

// down has it vanish.
func (r *receiver) down() {
	_ = r.server.Close()
	<-r.done
}

// ServeHTTP checks the signature by what the specification says, not by our code.
func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	text, err := io.ReadAll(req.Body)
	if err != nil {
		return // whoever sent it went away
	}
	d := delivery{id: req.Header.Get("webhook-id"), timestamp: req.Header.Get("webhook-timestamp")}
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secretText, "whsec_"))
	if err != nil {
		r.t.Error(err)
	}
	mac := hmac.New(sha256.New, key)
	_, _ = io.WriteString(mac, d.id+"."+d.timestamp+"."+string(text))
	version, signature, _ := strings.Cut(req.Header.Get("webhook-signature"), ",")
	got, err := base64.StdEncoding.DecodeString(signature)
	if err != nil || version != "v1" || !hmac.Equal(got, mac.Sum(nil)) {
		r.t.Errorf("the signature %q does not fit", req.Header.Get("webhook-signature"))
	}
	if n, err := strconv.ParseInt(d.timestamp, 10, 64); err != nil || time.Since(time.Unix(n, 0)).Abs() > 5*time.Minute {
		r.t.Errorf("the timestamp is %q", d.timestamp)
	}
	if strings.Contains(d.id, ".") || req.Method != http.MethodPost || req.Header.Get("content-type") != "application/json" {
		r.t.Errorf("%s with id %q, %q", req.Method, d.id, req.Header.Get("content-type"))
	}
	if err := json.Unmarshal(text, &d.body); err != nil {
		r.t.Errorf("the body %s: %v", text, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	d.status = http.StatusNoContent
	if r.answer != nil {
		d.status = r.answer(w, &d)
	}
	r.deliveries = append(r.deliveries, d)
	close(r.changed)
	r.changed = make(chan struct{})
	w.WriteHeader(d.status)
}

// await returns all deliveries once done says so.
func (r *receiver) await(what string, done func(all []delivery) bool) []delivery {
	r.t.Helper()
	timeout := time.After(30 * time.Second)
	for {
		r.mu.Lock()
		all, changed := slices.Clone(r.deliveries), r.changed
		r.mu.Unlock()
		if done(all) {
			return all
		}
		select {
		case <-changed:
		case <-timeout:
			r.t.Fatalf("waited in vain for %s: got %+v", what, all)
		}
	}
}

// awaitTaken waits for the delivery of letters that it took, in any order.
func (r *receiver) awaitTaken(cursors ...string) []delivery {
	r.t.Helper()
	return r.await(fmt.Sprint(cursors), func(all []delivery) bool {
		return !slices.ContainsFunc(cursors, func(c string) bool {
			return !slices.ContainsFunc(all, func(d delivery) bool { return d.cursor() == c && d.status/100 == 2 })
		})
	})
}

func openStore(t *testing.T, dir string) *disk.Engine {
	t.Helper()
	e, err := disk.Open(dir, disk.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func closeStore(t *testing.T, e *disk.Engine) {
	t.Helper()
	if err := e.Close(); err != nil {
		t.Error(err)
	}
}

// start runs a webhook until the returned func is called, or the test ends.
func start(t *testing.T, e *disk.Engine, url string, log io.Writer) (w *Webhook, stop func()) {
	t.Helper()
	if log == nil {
		log = io.Discard
	}
	w, err := Start(t.Context(), e, Options{
		URL: url, Secret: secret(t), firstWait: time.Millisecond,
		Logger: slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	if err != nil {
		t.Fatal(err)
	}
	stop = sync.OnceFunc(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := w.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return w, stop
}

// awaitDelivered waits until w knows that so many letters were taken, and has nobody at work, and returns what it counted.
func awaitDelivered(t *testing.T, w *Webhook, n uint64) Stats {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		busy := false
		w.mu.Lock()
		for _, q := range w.queues {
			busy = busy || q.busy
		}
		w.mu.Unlock()
		if s := w.Stats(); s.Delivered >= n && !busy {
			return s
		}
	}
	t.Fatalf("waited in vain for %d deliveries: %+v", n, w.Stats())
	return Stats{}
}

// abandon commits a critical event that nobody can confirm, and returns the cursor of its dead letter, which follows it.
func abandon(ctx context.Context, e *disk.Engine, tenant, correlation string) (string, error) {
	topic, err := roxy.ParseTopic("calls/7")
	if err != nil {
		return "", err
	}
	r, err := e.Commit(ctx, tenant, []roxy.Event{{
		Topic: topic, Type: "call:waiter", By: "guest", Data: []byte(`{"table":7}`), Correlation: correlation,
		Ack: &roxy.Ack{By: roxy.AckAny, Within: time.Minute, Attempts: 3},
	}})
	if err != nil {
		return "", err
	}
	return roxy.Cursor{Epoch: r.Epoch, Offset: r.Entries[0].Offset + 1}.String(), nil
}

// letters makes n dead letters of a tenant.
func letters(t *testing.T, e *disk.Engine, tenant string, n int) []string {
	t.Helper()
	cursors := make([]string, n)
	for i := range cursors {
		var err error
		if cursors[i], err = abandon(t.Context(), e, tenant, fmt.Sprintf("%s-%d", tenant, i)); err != nil {
			t.Fatal(err)
		}
	}
	return cursors
}

// log is where a test's webhook logs.
type log struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}
