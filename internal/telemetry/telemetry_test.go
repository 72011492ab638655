package telemetry

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"go.uber.org/goleak"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/auth"
	"github.com/roxyhub/roxy/engine/disk"
	"github.com/roxyhub/roxy/hub"
	"github.com/roxyhub/roxy/internal/fanout"
	"github.com/roxyhub/roxy/limit"
	"github.com/roxyhub/roxy/transport/sse"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// site is a hub on a real disk with its metrics behind a real socket.
type site struct {
	*httptest.Server
	hub    *hub.Hub
	limits *limit.Limits
}

func open(t *testing.T) *site {
	t.Helper()
	engine, err := disk.Open(t.TempDir(), disk.Options{})
	if err != nil {
		t.Fatal(err)
	}
	h, err := hub.Start(t.Context(), engine, hub.Options{})
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := auth.New(t.Context(), auth.Options{Keys: []auth.Key{{Algorithm: "HS256", Secret: make([]byte, 32)}}})
	if err != nil {
		t.Fatal(err)
	}
	s := &site{hub: h, limits: limit.New(limit.Options{})}
	mux := http.NewServeMux()
	mux.Handle("/metrics", Handler(h, engine, s.limits, verifier, fanout.NewGate(10, 1, slog.New(slog.DiscardHandler)), nil))
	mux.HandleFunc("/stream", func(w http.ResponseWriter, r *http.Request) {
		if err := sse.Serve(w, r, h, hub.Subscription{Identity: who(t, "bar", "u7"), Patterns: everything(t), Snapshot: true, Heartbeat: time.Minute}); err != nil {
			t.Error(err)
		}
	})
	s.Server = httptest.NewServer(mux)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 10*time.Second)
		defer cancel()
		if err := h.Close(ctx); err != nil {
			t.Error(err)
		}
		s.Close()
		verifier.Close()
		if err := engine.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func everything(t *testing.T) []roxy.Pattern {
	t.Helper()
	p, err := roxy.ParsePattern("**")
	if err != nil {
		t.Fatal(err)
	}
	return []roxy.Pattern{p}
}

func who(t *testing.T, tenant, user string) roxy.Identity {
	t.Helper()
	return roxy.Identity{Tenant: tenant, User: user, Grant: roxy.Grant{Read: everything(t), Publish: everything(t), Write: everything(t)}}
}

// publish commits an event for each of ids; the same id twice is a duplicate.
func (s *site) publish(t *testing.T, tenant, user, topic string, ids ...string) {
	t.Helper()
	at, err := roxy.ParseTopic(topic)
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range ids {
		if _, err := s.hub.Publish(t.Context(), who(t, tenant, user), []roxy.Event{{Topic: at, ID: id, Data: []byte("1")}}); err != nil {
			t.Fatal(err)
		}
	}
}

// scrape returns what is ours on /metrics by name, and the whole page.
func (s *site) scrape(t *testing.T) (ours map[string]*dto.MetricFamily, page string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+"/metrics", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	response, err := s.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("%d, %v", response.StatusCode, err)
	}
	parser := expfmt.NewTextParser(model.LegacyValidation)
	all, err := parser.TextToMetricFamilies(strings.NewReader(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	ours = make(map[string]*dto.MetricFamily)
	for name, family := range all {
		if strings.HasPrefix(name, "roxy_") {
			ours[name] = family
		}
	}
	return ours, string(text)
}

func typeOf(f *dto.MetricFamily) string { return strings.ToLower(f.GetType().String()) }

// labelsOf returns the names of the labels, or "-".
func labelsOf(f *dto.MetricFamily) string {
	var names []string
	for _, m := range f.GetMetric() {
		for _, l := range m.GetLabel() {
			if !slices.Contains(names, l.GetName()) {
				names = append(names, l.GetName())
			}
		}
	}
	if names == nil {
		return "-"
	}
	slices.Sort(names)
	return strings.Join(names, ",")
}

func TestCodeGoldenScrapeAndDocsAgree(t *testing.T) {
	ours, _ := open(t).scrape(t)
	var got, help []string
	for _, m := range metrics() {
		f := ours[m.name]
		if f == nil {
			t.Fatalf("%s is not on the page of a fresh hub", m.name)
		}
		got = append(got, fmt.Sprintf("%s %s %s", m.name, typeOf(f), labelsOf(f)))
		help = append(help, f.GetHelp())
	}
	if len(ours) != len(got) {
		t.Errorf("%d metrics on the page, %d in metrics.go", len(ours), len(got))
	}
	golden, err := os.ReadFile("testdata/metrics.golden")
	if err != nil {
		t.Fatal(err)
	}
	if text := strings.Join(got, "\n") + "\n"; text != string(golden) {
		t.Errorf("testdata/metrics.golden is not what is scraped; dashboards break when a name changes. Scraped:\n%s", text)
	}
	page, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	var documented []string
	for line := range strings.Lines(string(page)) {
		cells := strings.Split(strings.TrimSpace(line), "|")
		if len(cells) != 7 || !strings.HasPrefix(strings.TrimSpace(cells[1]), "`roxy_") {
			continue
		}
		for i := range cells {
			cells[i] = strings.ReplaceAll(strings.TrimSpace(cells[i]), "`", "")
		}
		row := fmt.Sprintf("%s %s %s", cells[1], cells[2], cells[3])
		if i := slices.Index(got, row); i >= 0 && cells[4] != help[i] {
			t.Errorf("docs/metrics.md says of %s %q, the page says %q", cells[1], cells[4], help[i])
		}
		if cells[5] == "" {
			t.Errorf("docs/metrics.md does not say when to worry about %s", cells[1])
		}
		documented = append(documented, row)
	}
	if !slices.Equal(documented, got) {
		t.Errorf("docs/metrics.md has\n%s\nscraped was\n%s", strings.Join(documented, "\n"), strings.Join(got, "\n"))
	}
}

func TestNamesAndUnitsFollowPrometheus(t *testing.T) {
	_, page := open(t).scrape(t)
	problems, err := promlint.New(strings.NewReader(page)).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		if strings.HasPrefix(p.Metric, "roxy_") {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
	for _, name := range []string{"go_goroutines", "process_open_fds", "go_build_info"} {
		if !strings.Contains(page, "\n"+name) {
			t.Errorf("%s is missing", name)
		}
	}
}

// value returns the value of the series whose label is such; "" for one without.
func value(t *testing.T, f *dto.MetricFamily, label string) float64 {
	t.Helper()
	for _, m := range f.GetMetric() {
		if label == "" || m.GetLabel()[0].GetValue() == label {
			switch f.GetType() {
			case dto.MetricType_COUNTER:
				return m.GetCounter().GetValue()
			case dto.MetricType_GAUGE:
				return m.GetGauge().GetValue()
			case dto.MetricType_HISTOGRAM:
				return float64(m.GetHistogram().GetSampleCount())
			case dto.MetricType_SUMMARY, dto.MetricType_UNTYPED, dto.MetricType_GAUGE_HISTOGRAM:
			}
			t.Fatalf("%s is a %s", f.GetName(), typeOf(f))
		}
	}
	t.Fatalf("%s has no series %q", f.GetName(), label)
	return 0
}

func TestWhatHappensIsCounted(t *testing.T) {
	s := open(t)
	at, err := roxy.ParseTopic("orders/3")
	if err != nil {
		t.Fatal(err)
	}
	for _, guard := range []roxy.Guard{roxy.GuardNone, roxy.GuardVersion} { // the second is refused, as there is one by then
		_, err := s.hub.Mutate(t.Context(), who(t, "bar", "u7"), []roxy.Mutation{{Op: roxy.Put, Topic: at, Data: []byte("{}"), Guard: guard}})
		if (err != nil) != (guard == roxy.GuardVersion) {
			t.Fatal(err)
		}
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+"/stream", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	response, err := s.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	read := func(until string) {
		t.Helper()
		var text strings.Builder
		for b := make([]byte, 1); !strings.HasSuffix(text.String(), until); {
			if _, err := response.Body.Read(b); err != nil {
				t.Fatal(err)
			}
			text.Write(b)
		}
	}
	read("event: roxy:live\n")
	s.publish(t, "bar", "u7", "orders/1", "a", "a", "b", "last")
	read(`"data":1}` + "\n\n") // a
	read(`"data":1}` + "\n\n") // b
	read(`"data":1}` + "\n\n") // last
	s.publish(t, "bar", "u7", "orders/2", "c")
	read(`"data":1}` + "\n\n") // the stream has counted what it wrote before it writes again
	if err := s.hub.Canary(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.limits.Publish("bar", "u7", 200); err != nil {
		t.Fatal(err)
	}
	if _, err := s.limits.Publish("bar", "u7", 200); err == nil {
		t.Fatal("400 at once are allowed")
	}

	ours, _ := s.scrape(t)
	for _, tt := range []struct {
		name, label string
		least       float64
		exactly     bool
	}{
		{"roxy_connections", "sse", 1, true},
		{"roxy_streams_ended_total", "client", 1, true}, // the canary's
		{"roxy_streams_ended_total", "slow", 0, true},
		{"roxy_published_events_total", "", 4, true},
		{"roxy_duplicate_events_total", "", 1, true},
		{"roxy_delivered_events_total", "", 3, false},
		{"roxy_delivered_bytes_total", "", 100, false},
		{"roxy_committed_mutations_total", "", 1, true},
		{"roxy_publishes_refused_total", "version-conflict", 1, true},
		{"roxy_snapshot_entities_total", "", 1, true},
		{"roxy_snapshot_reads_total", "", 1, true},
		{"roxy_snapshot_shares_total", "", 0, true},
		{"roxy_commit_duration_seconds", "", 7, true}, // four, the duplicate, the mutation and the canary
		{"roxy_delivery_duration_seconds", "", 1, false},
		{"roxy_replay_depth_events", "", 2, true}, // of the stream and the canary, both 0
		{"roxy_disk_sync_duration_seconds", "", 5, false},
		{"roxy_disk_sync_commits", "", 5, false},
		{"roxy_disk_events_total", "", 6, true},
		{"roxy_disk_free_bytes", "", 1, false},
		{"roxy_disk_failed", "", 0, true},
		{"roxy_limit_refusals_total", "publish", 1, true},
	} {
		if got := value(t, ours[tt.name], tt.label); got < tt.least || tt.exactly && got != tt.least {
			t.Errorf("%s{%s} is %v, want %v", tt.name, tt.label, got, tt.least)
		}
	}
}

func TestBucketsAreCumulative(t *testing.T) {
	s := open(t)
	s.publish(t, "bar", "u7", "orders/1", "a", "b", "c")
	ours, _ := s.scrape(t)
	for name, f := range ours {
		if f.GetType() != dto.MetricType_HISTOGRAM {
			continue
		}
		h := f.GetMetric()[0].GetHistogram()
		var below uint64
		for _, b := range h.GetBucket() {
			if b.GetCumulativeCount() < below {
				t.Errorf("%s: %d up to %v, but %d below", name, b.GetCumulativeCount(), b.GetUpperBound(), below)
			}
			below = b.GetCumulativeCount()
		}
		if below != h.GetSampleCount() { // the last one is +Inf
			t.Errorf("%s: %d in its buckets, %d in all", name, below, h.GetSampleCount())
		}
	}
	if h := ours["roxy_commit_duration_seconds"].GetMetric()[0].GetHistogram(); h.GetSampleCount() != 3 || h.GetSampleSum() <= 0 {
		t.Errorf("%d commits in %v s, want 3", h.GetSampleCount(), h.GetSampleSum())
	}
}

// A page that grew with tenants, users or topics would end the monitoring before the hub.
func TestUseAddsNoSeries(t *testing.T) {
	s := open(t)
	s.publish(t, "t0", "u0", "orders/0", "a")
	count := func() (n int) {
		ours, _ := s.scrape(t)
		for _, f := range ours {
			n += len(f.GetMetric())
		}
		return n
	}
	before := count()
	for i := range 30 {
		s.publish(t, fmt.Sprint("t", i), fmt.Sprint("u", i), fmt.Sprint("orders/", i), "a")
	}
	if after := count(); after != before {
		t.Errorf("%d series after 30 tenants, users and topics, %d before", after, before)
	}
}
