package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/roxyhub/roxy/internal/testkit"
)

// guest is a client over a connection of its own.
type guest struct {
	net.Conn
	resp *http.Response
	body *bufio.Reader
}

// ask sends a request over a new connection, and waits for the head of the answer as long as patience lasts.
func (w *watched) ask(t testing.TB, patience time.Duration, method, target, body string) (*guest, error) {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(w.URL, "http://")) //nolint:noctx // to this machine
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(patience))
	if _, err := fmt.Fprintf(conn, "%s %s HTTP/1.1\r\nHost: hub\r\nRoxy-Client: test\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
		method, target, w.admin, len(body), body); err != nil {
		return nil, err
	}
	g := &guest{Conn: conn, body: bufio.NewReader(conn)}
	if g.resp, err = http.ReadResponse(g.body, nil); err != nil { //nolint:bodyclose // ends with the connection
		return nil, err
	}
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	g.body = bufio.NewReader(g.resp.Body)
	return g, nil
}

// stream opens a stream, which is answered with 200 or with a refusal.
func (w *watched) stream(t testing.TB, query string) *guest {
	t.Helper()
	g, err := w.ask(t, 30*time.Second, http.MethodGet, "/v1/stream?"+query, "")
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// await reads until a line that holds text.
func (g *guest) await(t testing.TB, text string) {
	t.Helper()
	for {
		line, err := g.body.ReadString('\n')
		if err != nil {
			t.Fatalf("the stream ended before %q: %v", text, err)
		}
		if strings.Contains(line, text) {
			return
		}
	}
}

// refusedFor fails the test unless g was refused by a hub that is full, and was told of what.
func (g *guest) refusedFor(t testing.TB, what string) {
	t.Helper()
	body, err := io.ReadAll(g.body)
	if err != nil {
		t.Fatal(err)
	}
	var problem struct{ Code, Detail string }
	if err := json.Unmarshal(body, &problem); err != nil {
		t.Fatalf("%s: %s", g.resp.Status, body)
	}
	retry, err := strconv.Atoi(g.resp.Header.Get("Retry-After"))
	if g.resp.StatusCode != http.StatusServiceUnavailable || problem.Code != "overloaded" || !strings.Contains(problem.Detail, what) || err != nil || retry < 1 {
		t.Fatalf("refused with %s, Retry-After %q: %s", g.resp.Status, g.resp.Header.Get("Retry-After"), body)
	}
}

// A hub that has as many streams as it has descriptors for refuses more of them in so many words, and lets them in when
// others have left. All else goes on: streams, publishes, the log on the disk.
func TestHubWithoutDescriptorsRefusesStreamsAndGoesOn(t *testing.T) {
	t.Parallel()
	w := watch(t, testkit.Config{OpenFiles: 256, YAML: "log: { level: warn }\n"})
	most := int(w.metrics(t)["roxy_sockets_max"])
	if most < 50 || most > 200 {
		t.Fatalf("of 256 descriptors %d are for clients", most)
	}
	var streams []*guest
	for {
		g := w.stream(t, "topic=orders/*")
		if g.resp.StatusCode != http.StatusOK {
			g.refusedFor(t, "descriptor")
			if !g.resp.Close {
				t.Error("the connection was to stay")
			}
			break
		}
		g.await(t, "roxy:live")
		if streams = append(streams, g); len(streams) > most {
			t.Fatalf("%d streams were let in, at most %d sockets", len(streams), most)
		}
	}
	w.stream(t, "topic=orders/*").refusedFor(t, "descriptor")
	t.Logf("%d streams, %d sockets", len(streams), most)

	// Clients that take every place and say nothing: whoever comes then waits in the kernel's queue.
	var silent []net.Conn
	until(t, 10*time.Second, "every socket is taken", func() bool {
		conn, err := net.Dial("tcp", strings.TrimPrefix(w.URL, "http://")) //nolint:noctx // to this machine
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		silent = append(silent, conn)
		return w.metrics(t)["roxy_sockets"] == float64(most)
	})
	if n := len(w.descriptors(t).inodes); n >= 256 {
		t.Errorf("%d sockets", n)
	}
	before := w.cpu(t)
	if _, err := w.ask(t, 2*time.Second, http.MethodPost, "/v1/events", `{"topic":"orders/1"}`); err == nil {
		t.Error("there was room for one more")
	}
	if took := w.cpu(t) - before; took > time.Second {
		t.Errorf("waiting for 2 s took %s of a processor", took)
	}
	for _, conn := range silent {
		_ = conn.Close()
	}
	for n := range 3 { // what is over soon has its places
		g, err := w.ask(t, 30*time.Second, http.MethodPost, "/v1/events", fmt.Sprintf(`{"topic":"orders/%d","data":"published to a full hub"}`, n))
		if err != nil {
			t.Fatal(err)
		}
		if g.resp.StatusCode != http.StatusOK {
			t.Fatalf("publish: %s", g.resp.Status)
		}
	}
	for _, g := range streams {
		g.await(t, "published to a full hub")
	}
	m := w.metrics(t)
	if m[`roxy_limit_refusals_total{limit="descriptors"}`] < 2 || m["roxy_disk_failed"] != 0 {
		t.Errorf("refusals %g, failed %g", m[`roxy_limit_refusals_total{limit="descriptors"}`], m["roxy_disk_failed"])
	}
	if n := strings.Count(w.Log(), "too many connections"); n != 1 {
		t.Errorf("the log says %d times what to do:\n%s", n, w.Log())
	}

	for _, g := range streams[:len(streams)/2] {
		_ = g.Close()
	}
	until(t, 10*time.Second, "a stream is let in again", func() bool {
		return w.stream(t, "topic=orders/*").resp.StatusCode == http.StatusOK
	})
}

// Somebody else may take the limit away under a running hub, or the whole system runs out: accept fails, nothing spins,
// what is there goes on, and it recovers by itself.
func TestHubSurvivesAcceptsThatFail(t *testing.T) {
	t.Parallel()
	w := watch(t, testkit.Config{YAML: "log: { level: warn }\n"})
	there := w.stream(t, "topic=orders/*")
	there.await(t, "roxy:live")
	publisher := &http.Client{Transport: &http.Transport{}}
	defer publisher.CloseIdleConnections()
	publish := func(data string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.URL+"/v1/events", strings.NewReader(`{"topic":"orders/1","data":"`+data+`"}`))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+w.admin)
		req.Header.Set("Content-Type", "application/json")
		resp, err := publisher.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			t.Fatalf("publish: %s", resp.Status)
		}
	}
	publish("before")
	there.await(t, "before")

	var was unix.Rlimit
	if err := unix.Prlimit(w.PID(), unix.RLIMIT_NOFILE, nil, &was); err != nil {
		t.Fatal(err)
	}
	if err := unix.Prlimit(w.PID(), unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 3, Max: was.Max}, nil); err != nil {
		t.Fatal(err)
	}
	before := w.cpu(t)
	if _, err := w.ask(t, 2*time.Second, http.MethodGet, "/v1/ping", ""); err == nil {
		t.Error("there was a descriptor")
	}
	if took := w.cpu(t) - before; took > time.Second {
		t.Errorf("2 s of failing accepts took %s of a processor", took)
	}
	publish("meanwhile") // over the connection that is there
	there.await(t, "meanwhile")
	if err := unix.Prlimit(w.PID(), unix.RLIMIT_NOFILE, &was, nil); err != nil {
		t.Fatal(err)
	}
	if w.metrics(t)["roxy_accept_failures_total"] == 0 || strings.Count(w.Log(), "too many open files") != 1 {
		t.Errorf("nobody is told:\n%s", w.Log())
	}
	late := w.stream(t, "topic=orders/*")
	late.await(t, "roxy:live")
	publish("after")
	there.await(t, "after")
	late.await(t, "after")
}

// A hub near its memory limit refuses streams and publishes, keeps those who are there, and recovers when they leave.
func TestHubNearItsMemoryLimitRefusesAndRecovers(t *testing.T) {
	t.Parallel()
	w := watch(t, testkit.Config{Env: []string{"GOMEMLIMIT=48MiB"}, YAML: "log: { level: warn }\nlimits:\n  topicsPerStream: 10000\n  connections: { perIP: 100000, perUser: 100000, perTenant: 100000, attemptsPerIP: 100000 }\n"})
	bound := w.metrics(t)["roxy_memory_max_bytes"]
	if bound <= 0 || bound >= 48<<20 {
		t.Fatalf("newcomers are let in up to %g bytes", bound)
	}
	var streams []*guest
	for n := 0; ; n++ {
		query := url.Values{"heartbeat": {"1s"}}
		for i := range 300 { // a class of its own, with much to remember
			query.Add("topic", fmt.Sprintf("%s/%d/%d", strings.Repeat("x", 50), n, i))
		}
		g := w.stream(t, query.Encode())
		if g.resp.StatusCode != http.StatusOK {
			g.refusedFor(t, "memory")
			break
		}
		g.await(t, "roxy:live")
		if streams = append(streams, g); len(streams) > 5000 {
			t.Fatalf("no end: %v", w.metrics(t).labelled("roxy_memory"))
		}
	}
	t.Logf("%d streams, %g MiB of %g", len(streams), w.metrics(t)["roxy_memory_bytes"]/(1<<20), bound/(1<<20))
	g, err := w.ask(t, 30*time.Second, http.MethodPost, "/v1/events", `{"topic":"orders/1"}`)
	if err != nil {
		t.Fatal(err)
	}
	g.refusedFor(t, "memory")
	streams[0].await(t, "roxy:heartbeat")
	streams[len(streams)-1].await(t, "roxy:heartbeat")
	m := w.metrics(t)
	if m[`roxy_limit_refusals_total{limit="memory"}`] < 2 {
		t.Errorf("refusals: %s", m.labelled("roxy_limit_refusals_total"))
	}
	if !strings.Contains(w.Log(), "the memory limit is near") {
		t.Errorf("the log does not say why:\n%s", w.Log())
	}
	for _, g := range streams[1:] {
		_ = g.Close()
	}
	until(t, 20*time.Second, "the hub takes publishes again", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		_, err := publish(ctx, w.URL, w.admin, `{"topic":"`+strings.Repeat("x", 50)+`/0/0"}`)
		return err == nil
	})
	streams[0].await(t, `"topic"`)
	w.stream(t, "topic=orders/*").await(t, "roxy:live")
}
