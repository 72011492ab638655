package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/roxyhub/roxy/internal/bench"
)

func newBench() *cobra.Command {
	var (
		hub    clientFlags
		o      bench.Options
		asJSON bool
	)
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure a hub",
		Long: `bench opens streams, publishes, and tells how many deliveries a second arrived, how late, what was lost, repeated
or out of order, and with --pid what it cost the hub. Against Roxy the hub's URL and a token suffice, which may read and
publish bench/** (roxy token). With --publish-url it drives any hub that publishes over HTTP and delivers over a long
answer: --url is then the address of stream {i}, and the placeholders {topic}, {i} and, in the body, {data} are filled in.

It exits with 1 when something was lost, repeated, out of order, dropped or refused.`,
		Example: `  roxy bench --streams 10000 --rate 10 --pid $(pidof roxy)
  roxy bench --rate 0 --publishers 64 --streams 1           how many durable publishes a second?
  roxy bench --streams 10000 --idle --pid $(pidof roxy)     how much memory for a stream?
  roxy bench --url 'http://127.0.0.1:80/sub/{topic}' --publish-url 'http://127.0.0.1:80/pub/{topic}' --publish-body '{data}'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := aim(&o.Target, &hub); err != nil {
				return err
			}
			progress := newProgress(os.Stderr)
			o.Progress = progress.show
			result, err := bench.Measure(cmd.Context(), o)
			progress.done()
			if err != nil {
				return err
			}
			if asJSON {
				enc := json.NewEncoder(cmd.OutOrStdout())
				enc.SetIndent("", "  ")
				err = enc.Encode(result)
			} else {
				_, err = io.WriteString(cmd.OutOrStdout(), report(result))
			}
			return errors.Join(err, result.Total.Err())
		},
	}
	hub.add(cmd)
	f, t, l := cmd.Flags(), &o.Target, &o.Load
	f.IntVarP(&l.Streams, "streams", "n", 1000, "streams to hold open")
	f.Float64VarP(&l.Rate, "rate", "r", 10, "events a second; 0: each publisher sends when its last event was answered")
	f.IntVar(&l.Publishers, "publishers", 1, "connections that publish")
	f.IntVar(&l.Batch, "batch", 1, "events in one request, as a JSON array")
	f.IntVar(&l.Size, "size", 256, "bytes of payload")
	f.DurationVarP(&l.Duration, "duration", "d", 10*time.Second, "of one run")
	f.DurationVar(&l.Warmup, "warmup", time.Second, "published before the first run")
	f.IntVar(&l.Repeat, "repeat", 1, "runs; the median of each figure is told")
	f.BoolVar(&l.Idle, "idle", false, "publish nothing: memory for a stream, with --pid")
	f.IntSliceVar(&o.PIDs, "pid", nil, "the hub's processes, on this machine: its CPU and memory")
	f.DurationVar(&o.Settle, "settle", 3*time.Second, "between connecting and what comes next")
	f.StringVar(&t.Topic, "topic", "bench/shared", "topic of all streams")
	f.StringVar(&t.OwnTopic, "own-topics", "", "each stream has a `TOPIC` of its own besides, and events go to these in turn")
	f.Lookup("own-topics").NoOptDefVal = "bench/own/{i}"
	f.BoolVar(&asJSON, "json", false, "the report as JSON")
	f.StringVar(&t.Publish.URL, "publish-url", "", "another hub: where to publish")
	f.StringVar(&t.Publish.Method, "publish-method", "POST", "and how")
	f.StringArrayVar(&t.Publish.Header, "publish-header", nil, "`NAME: VALUE` of each publish")
	f.StringVar(&t.Publish.Body, "publish-body", "{data}", "of each publish")
	f.StringVar(&t.Stream.Method, "method", "GET", "of a stream's request")
	f.StringArrayVar(&t.Stream.Header, "header", nil, "`NAME: VALUE` of a stream's request")
	f.StringVar(&t.Stream.Body, "body", "", "of a stream's request")
	f.StringVar(&t.Ready, "ready", "", "`TEXT` in a stream that says that it is live (default: its answer has begun)")
	f.SortFlags = false
	return cmd
}

// aim completes t: for Roxy from the hub's URL and the token, for others from what was given.
func aim(t *bench.Target, hub *clientFlags) error {
	t.Stream.Header = append(t.Stream.Header, "Accept: text/event-stream")
	if t.Publish.URL != "" {
		t.Stream.URL = hub.url
		return nil
	}
	token, err := hub.token()
	if err != nil {
		return err
	}
	base, authorization := strings.TrimRight(hub.url, "/"), "Authorization: Bearer "+token
	t.Stream.URL = base + "/v1/stream?topic={topic}"
	if t.OwnTopic != "" {
		t.Stream.URL += "&topic=" + t.OwnTopic
	}
	t.Stream.Header = append(t.Stream.Header, authorization)
	t.Ready = "roxy:live"
	t.Publish.URL = base + "/v1/events"
	t.Publish.Header = append(t.Publish.Header, authorization, "Content-Type: application/json")
	t.Publish.Body = `{"topic":"{topic}","data":{data}}`
	return nil
}

// report is a result for people.
func report(r bench.Result) string {
	var b strings.Builder
	line := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "%-13s"+format+"\n", append([]any{name}, args...)...)
	}
	line("streams", "%d, live in %.2f s", r.Connect.Streams, r.Connect.Seconds)
	if c := r.Connect.Server; c != nil {
		line("memory", "%.2f KB a stream (%.1f to %.1f MB), %.0f µs of CPU each to connect",
			c.RSSPerStream/1024, float64(c.RSSBefore)/(1<<20), float64(c.RSSAfter)/(1<<20), c.CPUPerStream)
	}
	if len(r.Runs) == 0 {
		return b.String()
	}
	run := r.Runs[0]
	if r.Median != nil {
		run = *r.Median
		line("runs", "%d of %s: medians, and sums of counts", len(r.Runs), r.Load.Duration)
	}
	line("published", "%d, %.1f/s", run.Published, run.Publishes)
	line("delivered", "%d of %d, %.0f/s", run.Delivered, run.Expected, run.Deliveries)
	times := func(name string, l bench.Latency) {
		line(name, "p50 %s  p90 %s  p99 %s  p99.9 %s  max %s", ms(l.P50), ms(l.P90), ms(l.P99), ms(l.P999), ms(l.Max))
	}
	times("latency", run.Latency)
	times("answers", run.Answer)
	if r.Load.Rate > 0 {
		times("behind", run.Behind)
	}
	line("lost", "%d  repeated %d  out of order %d  strayed %d  streams dropped %d  publishes failed %d",
		run.Lost, run.Repeated, run.OutOfOrder, run.Strayed, run.Dropped, run.Failed)
	if run.Failure != "" {
		line("failure", "%s", run.Failure)
	}
	if c := run.Server; c != nil {
		line("server", "%.2f µs of CPU a delivery, %.1f a publish; %.2f cores, %.1f MB", c.CPUPerDelivery, c.CPUPerPublish, c.Cores, c.RSS/(1<<20))
	}
	line("bench", "%.2f µs of CPU a delivery", run.BenchCPUPerDelivery)
	return b.String()
}

// ms tells milliseconds in three digits or so.
func ms(v float64) string {
	switch {
	case v < 10:
		return fmt.Sprintf("%.2f ms", v)
	case v < 100:
		return fmt.Sprintf("%.1f ms", v)
	}
	return fmt.Sprintf("%.0f ms", v)
}
