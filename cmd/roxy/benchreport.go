package main

import (
	"fmt"
	"strings"

	"github.com/roxyhub/roxy/internal/bench"
)

// report is a result for people.
func report(r *bench.Result) string {
	var b strings.Builder
	line := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "%-11s"+format+"\n", append([]any{name}, args...)...)
	}
	line("streams", "%d, live after %.2f s", r.Live, r.ConnectSeconds)
	if run := r.Run; run != nil {
		line("published", "%d, %.1f/s", run.Published, run.Publishes)
		line("delivered", "%d of %d, %.0f/s", run.Delivered, run.Expected, run.Deliveries)
		line("", "%d lost, %d repeated, %d out of order, %d to the wrong stream", run.Lost, run.Repeated, run.OutOfOrder, run.Strayed)
		times := func(name string, l bench.Latency) {
			line(name, "p50 %s  p90 %s  p99 %s  p99.9 %s  max %s", ms(l.P50), ms(l.P90), ms(l.P99), ms(l.P999), ms(l.Max))
		}
		times("latency", run.Latency)
		times("answers", run.Answer)
		if r.Load.Rate > 0 {
			times("behind", run.Behind)
		}
	}
	if s := r.Server; s != nil {
		memory := func(name string, now bench.Memory, per bench.PerStream) {
			took := fmt.Sprintf("%.2f KB of RSS a stream, %.2f of PSS", per.RSS/1024, per.PSS/1024)
			if per.PSS <= 0 {
				took = "nothing that the hub did not hold before: start it anew"
			}
			line(name, "%s; %.1f MB, %.1f without streams", took, float64(now.PSS)/(1<<20), float64(s.Before.PSS)/(1<<20))
		}
		memory("idle", s.Idle, s.IdlePerStream)
		if s.Loaded != nil {
			memory("loaded", *s.Loaded, *s.LoadedPerStream)
		}
		line("connecting", "%.0f µs of CPU a stream", s.ConnectCPU)
		if run := r.Run; run != nil {
			line("hub", "%.2f µs of CPU a delivery, %.2f cores", run.ServerCPU, run.ServerCores)
		}
	}
	if run := r.Run; run != nil {
		line("bench", "%.2f µs of CPU a delivery: this program", run.BenchCPU)
		if run.Failed > 0 {
			line("failed", "%d publishes; the first: %s", run.Failed, run.FailedFirst)
		}
	}
	if r.Dropped > 0 {
		line("dropped", "%d streams; the first: %s", r.Dropped, r.DroppedFirst)
	}
	if r.Interrupted {
		line("", "interrupted; this is what was measured until then")
	}
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
