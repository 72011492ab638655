package bench

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Result is what was measured. Latencies are in milliseconds, CPU in microseconds, memory in bytes.
type Result struct {
	URL            string  `json:"url"`
	Load           Words   `json:"load"`
	Live           int     `json:"live"` // streams
	ConnectSeconds float64 `json:"connectSeconds"`
	Server         *Server `json:"server,omitempty"`
	Warmup         *Counts `json:"warmup,omitempty"`
	Run            *Run    `json:"run,omitempty"`
	// Dropped streams ended by themselves; DroppedFirst says how the first did.
	Dropped      int64  `json:"dropped"`
	DroppedFirst string `json:"droppedFirst,omitempty"`
	Interrupted  bool   `json:"interrupted"`
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

// Server is what the hub's processes hold: without streams, with idle ones, and with what was published. What a stream
// takes is told against the first of these.
type Server struct {
	Before          Memory     `json:"before"`
	Idle            Memory     `json:"idle"`
	IdlePerStream   PerStream  `json:"idlePerStream"`
	Loaded          *Memory    `json:"loaded,omitempty"`
	LoadedPerStream *PerStream `json:"loadedPerStream,omitempty"`
	ConnectCPU      float64    `json:"connectCPU"` // of one stream
}

// PerStream is memory for one stream.
type PerStream struct {
	RSS float64 `json:"rss"`
	PSS float64 `json:"pss"`
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
	Failed     int64 `json:"failed"`     // publishes that were refused or not answered
	// FailedFirst says why the first did.
	FailedFirst string `json:"failedFirst,omitempty"`
}

// Run is what was measured while events were published.
type Run struct {
	Counts

	Seconds    float64 `json:"seconds"`    // from the first publish to the last delivery
	Publishes  float64 `json:"publishes"`  // events a second
	Deliveries float64 `json:"deliveries"` // a second
	Latency    Latency `json:"latency"`    // from just before the publish was written until it was read
	Answer     Latency `json:"answer"`     // of the publish
	Behind     Latency `json:"behind"`     // how late publishes began: a rate that was not held

	ServerCPU   float64 `json:"serverCPU,omitempty"` // for one delivery, its share of the publish included
	ServerCores float64 `json:"serverCores,omitempty"`
	BenchCPU    float64 `json:"benchCPU"` // of this program, for one delivery
}

func newRun(w *window, s *schedule, took time.Duration, interrupted bool) Run {
	r := Run{
		Counts: Counts{
			Published: s.published.Load(), Expected: s.expected.Load(), Delivered: w.delivered.Load(), Repeated: w.repeated.Load(),
			OutOfOrder: w.disordered.Load(), Strayed: w.strayed.Load(),
		},
		Seconds: took.Seconds(), Latency: w.latency.latency(), Answer: s.answered.latency(), Behind: s.behind.latency(),
	}
	// An event whose publish was not answered may be delivered and is not expected.
	r.Lost = max(0, r.Expected-r.Delivered)
	r.Failed, r.FailedFirst = s.failures.told()
	// With a rate the last event is sent before the end, and the time until then belongs to the run.
	seconds := r.Seconds
	if s.Rate > 0 && !interrupted {
		seconds = max(seconds, s.length.Seconds())
	}
	r.Publishes, r.Deliveries = float64(r.Published)/seconds, float64(r.Delivered)/seconds
	return r
}

// Err is nil when everything arrived once and in order and nothing was dropped or refused.
func (r Result) Err() error {
	var all Counts
	if r.Run != nil {
		all = r.Run.Counts
	}
	if w := r.Warmup; w != nil {
		all.Lost += w.Lost
		all.Repeated += w.Repeated
		all.OutOfOrder += w.OutOfOrder
		all.Strayed += w.Strayed
		all.Failed += w.Failed
	}
	var wrong []string
	for _, c := range []struct {
		n    int64
		what string
	}{
		{all.Lost, "lost"},
		{all.Repeated, "repeated"},
		{all.OutOfOrder, "out of order"},
		{all.Strayed, "to the wrong stream"},
		{all.Failed, "publishes failed"},
		{r.Dropped, "streams dropped"},
	} {
		if c.n != 0 {
			wrong = append(wrong, fmt.Sprintf("%d %s", c.n, c.what))
		}
	}
	if wrong == nil {
		return nil
	}
	return errors.New(strings.Join(wrong, ", "))
}
