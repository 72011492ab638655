package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/internal/testkit"
)

// payload tells which publish an event belongs to: event Index of Size of the batch Batch.
type payload struct {
	Batch string `json:"batch"`
	Index int    `json:"index"`
	Size  int    `json:"size"`
}

// ledger is what publishers were told, and what they were not.
type ledger struct {
	mu      sync.Mutex
	acked   map[string][]uint64 // batch → offsets
	unknown map[string]string   // batch → request whose answer never came
}

// An acknowledged event is there exactly once and in order after kill -9, no offset is used twice, no half batch
// exists, and a publish whose answer was lost can be repeated.
func TestKillNineLosesNothingThatWasAcknowledged(t *testing.T) {
	n := rounds(t, 50)
	hub := testkit.Start(t, testkit.Config{})
	token := hub.Token(t, testkit.Claims{User: "publisher", Roles: []string{"everything"}})
	l := &ledger{acked: map[string][]uint64{}, unknown: map[string]string{}}
	for round := range n {
		ctx, cancel := context.WithCancel(t.Context())
		var publishers sync.WaitGroup
		for p := range 8 {
			publishers.Go(func() { l.publish(ctx, hub.URL, token, fmt.Sprintf("%d-%d", round, p)) })
		}
		time.Sleep(time.Duration(20+rand.IntN(150)) * time.Millisecond) // the random moment
		hub.Kill9(t)
		cancel()
		publishers.Wait()
		hub.Restart(t)
		l.repeat(t, hub.URL, token)
		if round%10 == 9 || round == n-1 {
			l.verify(t, hub.URL, token)
			l.verifyAudit(t, hub)
			t.Logf("round %d: %d batches acknowledged, all there", round+1, len(l.acked))
		}
	}
}

// verifyAudit reads the whole audit: no row of it is lost or changed, and each event of the log has one, in its order.
func (l *ledger) verifyAudit(t *testing.T, hub *testkit.Hub) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, hub.AdminURL+"/v1/admin/audit", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+hub.Token(t, testkit.Claims{User: "boss", Roles: []string{"everything"}}))
	req.Header.Set("Accept", "application/x-ndjson")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	lines := bufio.NewScanner(resp.Body)
	hash, seq, offset := roxy.AuditGenesis("default"), uint64(0), uint64(0)
	lines.Scan() // the hash before the first row
	for lines.Scan() {
		entry, row, err := roxy.ParseAuditLine(lines.Bytes())
		if hash = hash.Next(entry.JSON); err != nil || hash != entry.Hash || row.Seq != seq+1 {
			t.Fatalf("row %d of the audit is followed by %s: %v", seq, lines.Bytes(), err)
		}
		if seq++; row.Kind != roxy.AuditPublish {
			continue
		}
		if offset++; !strings.HasSuffix(row.Event, fmt.Sprint(".", offset)) {
			t.Fatalf("the audit tells of %s where event %d should be", row.Event, offset)
		}
	}
	events := 0
	for _, offsets := range l.acked {
		events += len(offsets)
	}
	if err := lines.Err(); err != nil || offset != uint64(events) {
		t.Fatalf("the audit tells of %d events, acknowledged were %d: %v", offset, events, err)
	}
}

func (l *ledger) publish(ctx context.Context, hubURL, token, prefix string) {
	for n := 0; ctx.Err() == nil; n++ {
		batch, size := fmt.Sprintf("%s-%d", prefix, n), 1+rand.IntN(20)
		events := make([]string, size)
		for i := range events {
			events[i] = fmt.Sprintf(`{"topic":"crash/%d","id":"%s.%d","data":{"batch":%q,"index":%d,"size":%d}}`, i, batch, i, batch, i, size)
		}
		body := "[" + strings.Join(events, ",") + "]"
		l.mu.Lock()
		l.unknown[batch] = body
		l.mu.Unlock()
		r, err := publish(ctx, hubURL, token, body)
		if err != nil {
			return // the hub died, or is about to
		}
		l.settle(batch, r)
	}
}

func (l *ledger) settle(batch string, r result) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range r.Events {
		l.acked[batch] = append(l.acked[batch], e.Offset)
	}
	delete(l.unknown, batch)
}

// repeat publishes again what had no answer, with the same keys.
func (l *ledger) repeat(t *testing.T, hubURL, token string) {
	t.Helper()
	l.mu.Lock()
	unknown := l.unknown
	l.unknown = map[string]string{}
	l.mu.Unlock()
	for batch, body := range unknown {
		r := mustPublish(t, hubURL, token, body)
		for _, e := range r.Events {
			if e.Duplicate != r.Events[0].Duplicate {
				t.Fatalf("batch %s was half committed: %+v", batch, r.Events)
			}
		}
		l.settle(batch, r)
	}
}

// verify reads the whole log and compares.
func (l *ledger) verify(t *testing.T, hubURL, token string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	s := open(t, ctx, hubURL, token, url.Values{"topic": {"**"}, "after": {"earliest"}}, "")
	events, _ := s.untilLive(t)
	_ = s.body.Close()
	found := map[string][]uint64{}
	for i, f := range events {
		_, digits, _ := strings.Cut(f.ID, ".")
		offset, err := strconv.ParseUint(digits, 10, 64)
		if err != nil || offset != uint64(i+1) {
			t.Fatalf("event %d of the log has id %s", i+1, f.ID)
		}
		p := data[payload](t, f)
		if p.Index != len(found[p.Batch]) {
			t.Fatalf("offset %d holds event %d of batch %s, want %d", offset, p.Index, p.Batch, len(found[p.Batch]))
		}
		if p.Index > 0 && found[p.Batch][p.Index-1] != offset-1 {
			t.Fatalf("batch %s is torn at offset %d", p.Batch, offset)
		}
		found[p.Batch] = append(found[p.Batch], offset)
		if next := i + 1; p.Index < p.Size-1 && next == len(events) {
			t.Fatalf("half of batch %s is at the end of the log", p.Batch)
		}
	}
	for batch, offsets := range l.acked {
		if fmt.Sprint(found[batch]) != fmt.Sprint(offsets) {
			t.Fatalf("batch %s was acknowledged at %v and stands at %v", batch, offsets, found[batch])
		}
	}
	if len(found) != len(l.acked) {
		t.Fatalf("%d batches in the log, %d acknowledged", len(found), len(l.acked))
	}
}

// What is done with one id happens once, and to all entities of a call or to none, whatever kill -9 interrupts: repeated
// before and after it, while it is on its way, and raced by a cancellation.
func TestKillNineLeavesBulkMutationsWholeAndOnce(t *testing.T) {
	hub := testkit.Start(t, testkit.Config{})
	token := hub.Token(t, testkit.Claims{User: "writer", Roles: []string{"everything"}})
	b := &bulks{t: t, url: hub.URL, token: token, asked: map[string]*bulkCall{}}
	for round := range rounds(t, 12) {
		ctx, cancel := context.WithCancel(t.Context())
		var writers sync.WaitGroup
		for w := range 6 {
			writers.Go(func() { b.write(ctx, fmt.Sprintf("%d-%d", round, w)) })
		}
		time.Sleep(time.Duration(20+rand.IntN(250)) * time.Millisecond)
		hub.Kill9(t)
		cancel()
		writers.Wait()
		hub.Restart(t)
		b.settle()
	}
	b.verify()
}

// bulkCall changes several entities at once; each of its mutations has an id.
type bulkCall struct {
	id        string
	topics    []int
	cancelled bool // an answer said so
	committed bool // an answer said so
}

const bulkTopics = 5

type bulks struct {
	t          *testing.T
	url, token string

	mu    sync.Mutex
	asked map[string]*bulkCall
	open  []*bulkCall // without an answer yet
}

func (c *bulkCall) body() string {
	mutations := make([]string, len(c.topics))
	for i, topic := range c.topics {
		mutations[i] = fmt.Sprintf(`{"id":"%s.%d","op":"put","topic":"bulk/%d","data":{"call":%q,"of":%d}}`, c.id, i, topic, c.id, len(c.topics))
	}
	return "[" + strings.Join(mutations, ",") + "]"
}

// write sends calls, some of them twice at the same time, some together with a cancellation of one of their mutations.
func (b *bulks) write(ctx context.Context, prefix string) {
	for n := 0; ctx.Err() == nil; n++ {
		c := &bulkCall{id: fmt.Sprintf("%s-%d", prefix, n), topics: rand.Perm(bulkTopics)[:2+rand.IntN(bulkTopics-1)]}
		b.mu.Lock()
		b.asked[c.id] = c
		b.open = append(b.open, c)
		b.mu.Unlock()
		var both sync.WaitGroup
		answered := make([]bool, 2)
		both.Go(func() { answered[0] = b.send(ctx, c) })
		switch rand.IntN(3) {
		case 0:
			both.Go(func() { answered[1] = b.cancel(ctx, c, rand.IntN(len(c.topics))) })
		case 1:
			both.Go(func() { answered[1] = b.send(ctx, c) })
		default:
			answered[1] = true
		}
		both.Wait()
		if answered[0] && answered[1] {
			b.mu.Lock()
			b.open = slices.DeleteFunc(b.open, func(o *bulkCall) bool { return o == c })
			b.mu.Unlock()
		}
	}
}

// send reports whether there was an answer, and notes it.
func (b *bulks) send(ctx context.Context, c *bulkCall) bool {
	status, answer, err := b.request(ctx, http.MethodPost, "/v1/mutations", c.body())
	switch {
	case err != nil || status == http.StatusServiceUnavailable:
		return false
	case status == http.StatusOK:
		b.note(c, true)
	case status == http.StatusGone:
		b.note(c, false)
	default:
		b.t.Errorf("call %s: %d %s", c.id, status, answer)
	}
	return true
}

// cancel cancels one mutation of a call: then none of it commits, or all of it has.
func (b *bulks) cancel(ctx context.Context, c *bulkCall, n int) bool {
	status, answer, err := b.request(ctx, http.MethodDelete, fmt.Sprintf("/v1/mutations/%s.%d", c.id, n), "")
	switch {
	case err != nil || status == http.StatusServiceUnavailable:
		return false
	case strings.Contains(answer, `"status":"cancelled"`):
		b.note(c, false)
	case strings.Contains(answer, `"status":"committed"`):
		b.note(c, true)
	default:
		b.t.Errorf("cancel %s: %d %s", c.id, status, answer)
	}
	return true
}

func (b *bulks) note(c *bulkCall, committed bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	c.committed = c.committed || committed
	c.cancelled = c.cancelled || !committed
	if c.committed && c.cancelled {
		b.t.Errorf("call %s was committed in one answer and cancelled in another", c.id)
	}
}

// settle repeats or cancels what had no answer.
func (b *bulks) settle() {
	for _, c := range b.open {
		ctx, cancel := context.WithTimeout(b.t.Context(), 10*time.Second)
		answered := false
		if rand.IntN(3) == 0 {
			answered = b.cancel(ctx, c, rand.IntN(len(c.topics)))
		}
		if answered = b.send(ctx, c) || answered; !answered {
			b.t.Fatalf("no answer to %s of a hub that is ready", c.id)
		}
		cancel()
	}
	b.open = nil
}

// verify reads the whole log: each committed call is there once and in one piece, each cancelled one nowhere.
func (b *bulks) verify() {
	ctx, cancel := context.WithTimeout(b.t.Context(), time.Minute)
	defer cancel()
	s := open(b.t, ctx, b.url, b.token, url.Values{"topic": {"bulk/*"}, "after": {"earliest"}}, "")
	events, _ := s.untilLive(b.t)
	found, versions := map[string]int{}, map[string]uint64{}
	last := ""
	for _, f := range events {
		var e struct {
			Topic, Mutation string
			Version         uint64
		}
		if err := json.Unmarshal([]byte(f.Data), &e); err != nil {
			b.t.Fatal(err)
		}
		if versions[e.Topic]++; e.Version != versions[e.Topic] {
			b.t.Fatalf("%s goes from version %d to %d", e.Topic, versions[e.Topic]-1, e.Version)
		}
		id, place, _ := strings.Cut(e.Mutation, ".")
		if place != strconv.Itoa(found[id]) || found[id] > 0 && id != last {
			b.t.Fatalf("%s stands behind %d mutations of its call, and behind %s: it was torn or repeated", e.Mutation, found[id], last)
		}
		found[id]++
		last = id
	}
	committed := 0
	for id, c := range b.asked {
		switch n := found[id]; {
		case c.cancelled && n > 0:
			b.t.Errorf("call %s was cancelled, and %d of it committed", id, n)
		case c.committed && n != len(c.topics), n > 0 && n != len(c.topics):
			b.t.Errorf("%d of %d mutations of call %s are in the log", n, len(c.topics), id)
		case !c.committed && !c.cancelled:
			b.t.Errorf("call %s was never answered", id)
		case c.committed:
			committed++
		}
	}
	b.t.Logf("%d calls, %d committed, the others cancelled", len(b.asked), committed)
	if committed == 0 || committed == len(b.asked) {
		b.t.Error("nothing was cancelled, or all: the test does not try what it should")
	}
}

func (b *bulks) request(ctx context.Context, method, path, body string) (status int, answer string, err error) {
	r, err := http.NewRequestWithContext(ctx, method, b.url+path, strings.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	r.Header.Set("Authorization", "Bearer "+b.token)
	r.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(text), err
}
