package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/client"
	"github.com/roxyhub/roxy/internal/testkit"
)

// tablet is one device in a bar whose network is cut all the time, and what its application handled.
type tablet struct {
	name, user, role string
	client           *client.Client

	live    chan struct{} // closed when the hub knows it
	mu      sync.Mutex
	handled map[roxy.Cursor]int
}

// work handles whatever comes and confirms what is critical, until ctx ends.
func (tb *tablet) work(ctx context.Context, t *testing.T) {
	known := sync.OnceFunc(func() { close(tb.live) })
	sub := client.Subscription{Patterns: []roxy.Pattern{mustPattern(t, "orders/*")}, Device: tb.name, Confirm: true}
	for m, err := range tb.client.Subscribe(ctx, sub) {
		if err != nil {
			if ctx.Err() == nil {
				t.Errorf("%s: %v", tb.name, err)
			}
			return
		}
		switch m := m.(type) {
		case client.Event:
			id := m.Cursor
			if m.Event.Ack != nil {
				id = m.AckID
			}
			tb.mu.Lock()
			tb.handled[id]++
			tb.mu.Unlock()
		case client.Live:
			known()
		case client.Reset:
			t.Errorf("%s was reset: %s", tb.name, m.Reason)
		}
	}
}

func (tb *tablet) count() int {
	tb.mu.Lock()
	defer tb.mu.Unlock()
	return len(tb.handled)
}

// row is what this test reads of a row of the audit trail.
type row struct {
	Kind, Reason, Device, Event, Correlation string
	Seq                                      uint64
}

// Two hundred cuts: nothing is lost, nothing is handled twice, and what the hub says of it afterwards, in receipts and in the
// audit trail, is what the tablets saw.
func TestReceiptsAndAuditTellWhatTabletsSawThroughTwoHundredCuts(t *testing.T) {
	const cuts, published = 200, 400
	hub := testkit.Start(t, testkit.Config{YAML: "mailbox: { events: 10000, age: 24h }\n"})
	relay := startRelay(t, hub)
	var tablets []*tablet
	for i := range 8 {
		role := []string{"waiter", "kitchen"}[i%2]
		tb := &tablet{name: fmt.Sprintf("tablet-%d", i), user: fmt.Sprintf("user-%d", i/2), role: role, live: make(chan struct{}), handled: make(map[roxy.Cursor]int)}
		token := hub.Token(t, testkit.Claims{User: tb.user, Roles: []string{role}})
		tb.client = mustClient(t, relay.URL, token)
		tablets = append(tablets, tb)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var working sync.WaitGroup
	for _, tb := range tablets {
		working.Go(func() { tb.work(ctx, t) })
	}
	boss := hub.Token(t, testkit.Claims{User: "boss", Roles: []string{"manager"}})
	till := mustClient(t, hub.URL, boss)
	for _, tb := range tablets {
		<-tb.live
	}

	var cutting sync.WaitGroup
	storm := time.NewTicker(20 * time.Millisecond)
	defer storm.Stop()
	cutting.Go(func() {
		for range cuts {
			<-storm.C
			relay.cut()
		}
	})
	evening := time.NewTicker(10 * time.Millisecond)
	defer evening.Stop()
	critical := make(map[roxy.Cursor]roxy.AckBy)
	expected := make(map[string]map[roxy.Cursor]bool) // by device
	for i := range published {
		e := roxy.Event{Topic: mustTopic(t, fmt.Sprintf("orders/%d", i%7)), Type: "order:new", Data: fmt.Appendf(nil, `{"no":%d}`, i), Correlation: fmt.Sprintf("c-%d", i)}
		if i%2 == 0 {
			e.Ack = &roxy.Ack{By: []roxy.AckBy{roxy.AckAny, roxy.AckUser, roxy.AckDevice}[i/2%3], Within: time.Second, Attempts: roxy.MaxAckAttempts}
		}
		if i%5 == 0 {
			e.To = roxy.Audience{Roles: []string{"kitchen"}}
		}
		if i%11 == 0 {
			e.Except = "tablet-3"
		}
		done, err := till.Publish(t.Context(), e)
		if err != nil {
			t.Fatal(err)
		}
		at := done[0].Cursor
		if e.Ack != nil {
			critical[at] = e.Ack.By
		}
		for _, tb := range tablets {
			if e.To.Includes(tb.user, []string{tb.role}) && e.Except != tb.name {
				if expected[tb.name] == nil {
					expected[tb.name] = make(map[roxy.Cursor]bool)
				}
				expected[tb.name][at] = true
			}
		}
		<-evening.C
	}
	cutting.Wait()
	for _, tb := range tablets {
		eventually(t, tb.name+" has everything", func() bool { return tb.count() >= len(expected[tb.name]) })
	}
	eventually(t, "everything is confirmed", func() bool {
		for at := range critical {
			r, err := till.Receipts(t.Context(), at)
			if err != nil || r.Settlement != roxy.Acknowledged || slices.ContainsFunc(r.Receipts, func(d roxy.DeviceReceipt) bool { return d.Confirmed.IsZero() }) {
				return false
			}
		}
		return true
	})
	stop()
	working.Wait()

	for _, tb := range tablets {
		for at, n := range tb.handled {
			if n != 1 || !expected[tb.name][at] {
				t.Errorf("%s handled %s %d times, expected %v", tb.name, at, n, expected[tb.name][at])
			}
		}
	}
	story := audited(t, hub, boss)
	traced(t, hub, boss, "c-0", story)
	for at := range critical {
		holdReceipts(t, till, at, tablets, expected)
		holdRows(t, at, story[at.String()], tablets, expected)
	}
}

// eventually waits until done, for at most a minute.
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	look := time.NewTicker(50 * time.Millisecond)
	defer look.Stop()
	for deadline := time.Now().Add(time.Minute); !done(); <-look.C {
		if time.Now().After(deadline) {
			t.Fatalf("not within a minute: %s", what)
		}
	}
}

// holdReceipts holds the receipts of an event against what the tablets saw.
func holdReceipts(t *testing.T, c *client.Client, at roxy.Cursor, tablets []*tablet, expected map[string]map[roxy.Cursor]bool) {
	t.Helper()
	r, err := c.Receipts(t.Context(), at)
	if err != nil {
		t.Fatal(err)
	}
	told := make(map[string]bool)
	for _, d := range r.Receipts {
		told[d.Device] = true
		if d.Attempts < 1 || d.Written.IsZero() || d.Delivered.IsZero() || d.Transport != "sse" || d.Delivered.After(d.Confirmed) {
			t.Errorf("%s: receipt %+v", at, d)
		}
	}
	for _, tb := range tablets {
		if told[tb.name] != expected[tb.name][at] {
			t.Errorf("%s: %s is among the receipts: %v, expected %v", at, tb.name, told[tb.name], expected[tb.name][at])
		}
	}
}

// holdRows holds what the audit trail says of an event against what the tablets saw.
func holdRows(t *testing.T, at roxy.Cursor, rows []row, tablets []*tablet, expected map[string]map[roxy.Cursor]bool) {
	t.Helper()
	got := make(map[string]int)
	for _, r := range rows {
		key := r.Kind
		switch {
		case r.Kind == "delivery":
			key += " " + r.Reason + " " + r.Device
		case r.Device != "":
			key += " " + r.Device
		case r.Reason != "":
			key += " " + r.Reason
		}
		got[key]++
	}
	want := map[string]int{"publish": 1, "settled acknowledged": 1}
	for _, tb := range tablets {
		if expected[tb.name][at] {
			want["ack "+tb.name] = 1
			if n := got["delivery delivered "+tb.name]; n > 1 { // a confirmation that comes first says so, too
				t.Errorf("%s was delivered to %s %d times", at, tb.name, n)
			}
			if written := "delivery written " + tb.name; got[written] == 0 {
				t.Errorf("%s was never written to %s", at, tb.name)
			}
		}
	}
	maps.DeleteFunc(got, func(key string, _ int) bool {
		return key == "redelivery" || strings.HasPrefix(key, "delivery ") && expectedBy(key, at, expected)
	})
	if !maps.Equal(got, want) {
		t.Errorf("%s: the trail has %v, want %v", at, got, want)
	}
	if len(rows) > 0 && rows[0].Kind != "publish" {
		t.Errorf("%s begins with %s", at, rows[0].Kind)
	}
}

// expectedBy reports whether the device that ends a key was to have the event.
func expectedBy(key string, at roxy.Cursor, expected map[string]map[roxy.Cursor]bool) bool {
	return expected[key[strings.LastIndexByte(key, ' ')+1:]][at]
}

func mustClient(t *testing.T, url, token string) *client.Client {
	t.Helper()
	c, err := client.New(client.Options{URL: url, Token: func(context.Context) (string, error) { return token, nil }})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func mustPattern(t *testing.T, s string) roxy.Pattern {
	t.Helper()
	p, err := roxy.ParsePattern(s)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func mustTopic(t *testing.T, s string) roxy.Topic {
	t.Helper()
	topic, err := roxy.ParseTopic(s)
	if err != nil {
		t.Fatal(err)
	}
	return topic
}

// audited returns the rows of the trail by the event that they are about, having verified the chain.
func audited(t *testing.T, hub *testkit.Hub, token string) map[string][]row {
	t.Helper()
	text := adminGet(t, hub, token, "/v1/admin/audit?order=asc")
	stories := make(map[string][]row)
	for line := range bytes.Lines(text) {
		var r row
		if err := json.Unmarshal(line, &r); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		if r.Event != "" {
			stories[r.Event] = append(stories[r.Event], r)
		}
	}
	export := filepath.Join(t.TempDir(), "audit.ndjson")
	if err := os.WriteFile(export, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), testkit.Binary(t), "check", export, "--audit").CombinedOutput(); err != nil {
		t.Errorf("the chain of the export: %v: %s", err, out)
	}
	return stories
}

// traced holds the trace of a correlation against the whole trail.
func traced(t *testing.T, hub *testkit.Hub, token, correlation string, story map[string][]row) {
	t.Helper()
	var trace struct {
		Rows []row `json:"rows"`
	}
	if err := json.Unmarshal(adminGet(t, hub, token, "/v1/admin/trace/"+correlation), &trace); err != nil || len(trace.Rows) == 0 {
		t.Fatalf("trace of %s: %d rows, %v", correlation, len(trace.Rows), err)
	}
	if want := story[trace.Rows[0].Event]; !slices.Equal(trace.Rows, want) {
		t.Errorf("trace of %s: %v, want %v", correlation, trace.Rows, want)
	}
}

func adminGet(t *testing.T, hub *testkit.Hub, token, path string) []byte {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, hub.AdminURL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+token)
	request.Header.Set("Accept", "application/x-ndjson, application/json;q=0.5")
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s %v", path, answer.Status, err)
	}
	return text
}
