package bench

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Result is what was measured. Latencies are in milliseconds, CPU in microseconds, memory in bytes.
type Result struct {
	URL     string  `json:"url"`
	Load    Words   `json:"load"`
	Connect Connect `json:"connect"`
	Runs    []Run   `json:"runs,omitempty"`
	// Median has the median of each figure over all runs, and the sums of their counts.
	Median *Run `json:"median,omitempty"`
	// Total are the counts of all runs and of the warm-up.
	Total Counts `json:"total"`
}

// Words are the load as it was asked for.
type Words struct {
	Streams    int     `json:"streams"`
	Publishers int     `json:"publishers"`
	Rate       float64 `json:"rate"`
	Batch      int     `json:"batch"`
	Size       int     `json:"size"`
	Duration   string  `json:"duration"`
}

func (l Load) words() Words {
	return Words{Streams: l.Streams, Publishers: l.Publishers, Rate: l.Rate, Batch: l.Batch, Size: l.Size, Duration: l.Duration.String()}
}

// Connect is what opening the streams took.
type Connect struct {
	Streams int          `json:"streams"`
	Seconds float64      `json:"seconds"`
	Server  *ConnectCost `json:"server,omitempty"`
}

// ConnectCost is what open streams cost the hub.
type ConnectCost struct {
	RSSBefore    int64   `json:"rssBefore"`
	RSSAfter     int64   `json:"rssAfter"`
	RSSPerStream float64 `json:"rssPerStream"`
	CPUPerStream float64 `json:"cpuPerStream"`
}

// Counts are what a correct hub keeps at 0, but for the first three.
type Counts struct {
	Published  int64 `json:"published"` // and answered
	Expected   int64 `json:"expected"`  // deliveries of these
	Delivered  int64 `json:"delivered"` // each once
	Lost       int64 `json:"lost"`
	Repeated   int64 `json:"repeated"`
	OutOfOrder int64 `json:"outOfOrder"` // among the events of one publisher
	Strayed    int64 `json:"strayed"`    // another stream's own
	Dropped    int64 `json:"dropped"`    // streams that ended
	Failed     int64 `json:"failed"`     // publishes that were refused or not answered
}

func (c *Counts) add(o Counts) {
	c.Published += o.Published
	c.Expected += o.Expected
	c.Delivered += o.Delivered
	c.Lost += o.Lost
	c.Repeated += o.Repeated
	c.OutOfOrder += o.OutOfOrder
	c.Strayed += o.Strayed
	c.Dropped += o.Dropped
	c.Failed += o.Failed
}

// Err is nil when everything arrived once and in order and no stream was dropped.
func (c Counts) Err() error {
	var wrong []string
	for _, w := range []struct {
		n    int64
		what string
	}{
		{c.Lost, "deliveries lost"},
		{c.Repeated, "repeated"},
		{c.OutOfOrder, "out of order"},
		{c.Strayed, "to the wrong stream"},
		{c.Dropped, "streams dropped"},
		{c.Failed, "publishes failed"},
	} {
		if w.n != 0 {
			wrong = append(wrong, fmt.Sprintf("%d %s", w.n, w.what))
		}
	}
	if wrong == nil {
		return nil
	}
	return errors.New(strings.Join(wrong, ", "))
}

// Run is one run.
type Run struct {
	Counts

	Seconds    float64 `json:"seconds"`    // from the first publish to the last delivery
	Publishes  float64 `json:"publishes"`  // events a second
	Deliveries float64 `json:"deliveries"` // a second
	Latency    Latency `json:"latency"`    // from just before the publish is written until it was read
	Answer     Latency `json:"answer"`     // of the publish
	Behind     Latency `json:"behind"`     // how late publishes began: a rate that was not held
	Failure    string  `json:"failure,omitempty"`

	Server              *RunCost `json:"server,omitempty"`
	BenchCPUPerDelivery float64  `json:"benchCPUPerDelivery"`
}

// RunCost is what a run cost the hub.
type RunCost struct {
	CPUPerDelivery float64 `json:"cpuPerDelivery"`
	CPUPerPublish  float64 `json:"cpuPerPublish"` // with all its deliveries
	Cores          float64 `json:"cores"`
	RSS            float64 `json:"rss"` // at its end
}

func newRun(w *window, s *schedule, took time.Duration) Run {
	r := Run{
		Counts: Counts{
			Published: s.published.Load(), Expected: s.expected.Load(), Delivered: w.delivered.Load(), Repeated: w.repeated.Load(),
			OutOfOrder: w.disordered.Load(), Strayed: w.strayed.Load(), Failed: s.failed.Load(),
		},
		Seconds: took.Seconds(), Latency: w.latency.latency(), Answer: s.answered.latency(), Behind: s.behind.latency(),
	}
	// An event whose publish was not answered may be delivered and is not expected.
	r.Lost = max(0, r.Expected-r.Delivered)
	// A fixed rate's last event is due before the end, and what it takes until then belongs to the run.
	seconds := r.Seconds
	if s.Rate > 0 {
		seconds = max(seconds, s.length.Seconds())
	}
	r.Publishes, r.Deliveries = float64(r.Published)/seconds, float64(r.Delivered)/seconds
	if err := s.failure(); err != nil {
		r.Failure = err.Error()
	}
	return r
}

// figures are what a median is made of.
func (r *Run) figures() []*float64 {
	all := []*float64{&r.Seconds, &r.Publishes, &r.Deliveries, &r.BenchCPUPerDelivery}
	for _, l := range []*Latency{&r.Latency, &r.Answer, &r.Behind} {
		all = append(all, &l.P50, &l.P90, &l.P99, &l.P999, &l.Max)
	}
	if c := r.Server; c != nil {
		all = append(all, &c.CPUPerDelivery, &c.CPUPerPublish, &c.Cores, &c.RSS)
	}
	return all
}

// median returns nil when there is one run, which is its own.
func median(runs []Run) *Run {
	if len(runs) < 2 {
		return nil
	}
	var m Run
	if runs[0].Server != nil {
		m.Server = &RunCost{}
	}
	values := make([][]float64, len(m.figures()))
	for i := range runs {
		m.add(runs[i].Counts)
		for k, v := range runs[i].figures() {
			values[k] = append(values[k], *v)
		}
	}
	for k, v := range m.figures() {
		slices.Sort(values[k])
		n := len(runs)
		*v = (values[k][(n-1)/2] + values[k][n/2]) / 2
	}
	return &m
}
