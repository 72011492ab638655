package telemetry

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/roxyhub/roxy/auth"
	"github.com/roxyhub/roxy/engine/disk"
	"github.com/roxyhub/roxy/hub"
	"github.com/roxyhub/roxy/internal/fanout"
	"github.com/roxyhub/roxy/internal/measure"
	"github.com/roxyhub/roxy/limit"
	"github.com/roxyhub/roxy/webhook"
)

// stats is what all sources counted at the time of one scrape.
type stats struct {
	hub    hub.Stats
	disk   disk.Stats
	limits limit.Stats
	auth   auth.Stats
	gate   *fanout.Gate
	hook   webhook.Stats
}

// metric is one line of metrics.go.
type metric struct {
	name, help string
	kind       prometheus.ValueType // of what value and values return
	label      string               // "" for none
	known      []string             // values of label that are shown before they were counted

	// One of them is set.
	value    func(*stats) float64
	values   func(*stats) map[string]float64
	snapshot func(*stats) measure.Snapshot
}

func counter(name, help string, read func(*stats) uint64) metric {
	return metric{name: name, help: help, kind: prometheus.CounterValue, value: one(read)}
}

func gauge(name, help string, read func(*stats) int64) metric {
	return metric{name: name, help: help, kind: prometheus.GaugeValue, value: one(read)}
}

// unsigned is a gauge of what is counted without a sign.
func unsigned(name, help string, read func(*stats) uint64) metric {
	return metric{name: name, help: help, kind: prometheus.GaugeValue, value: one(read)}
}

func counters(name, help, label string, known []string, read func(*stats) map[string]uint64) metric {
	return metric{name: name, help: help, kind: prometheus.CounterValue, label: label, known: known, values: many(read)}
}

func gauges(name, help, label string, known []string, read func(*stats) map[string]int64) metric {
	return metric{name: name, help: help, kind: prometheus.GaugeValue, label: label, known: known, values: many(read)}
}

func histogram(name, help string, read func(*stats) measure.Snapshot) metric {
	return metric{name: name, help: help, snapshot: read}
}

func one[N int64 | uint64](read func(*stats) N) func(*stats) float64 {
	return func(s *stats) float64 { return float64(read(s)) }
}

func many[N int64 | uint64](read func(*stats) map[string]N) func(*stats) map[string]float64 {
	return func(s *stats) map[string]float64 {
		out := make(map[string]float64)
		for label, n := range read(s) {
			out[label] = float64(n)
		}
		return out
	}
}

// collector turns the sources' Stats into metrics at each scrape.
type collector struct {
	stats   func() *stats
	metrics []metric
	descs   []*prometheus.Desc // one for each of metrics
}

func newCollector(read func() *stats) *collector {
	c := &collector{stats: read, metrics: metrics()}
	for _, m := range c.metrics {
		var labels []string
		if m.label != "" {
			labels = []string{m.label}
		}
		c.descs = append(c.descs, prometheus.NewDesc(m.name, m.help, labels, nil))
	}
	return c
}

// Describe sends the descriptions, as prometheus.Collector says.
func (c *collector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range c.descs {
		out <- d
	}
}

// Collect sends what the sources hold now, as prometheus.Collector says.
func (c *collector) Collect(out chan<- prometheus.Metric) {
	s := c.stats()
	for i, m := range c.metrics {
		m.collect(c.descs[i], s, out)
	}
}

func (m *metric) collect(desc *prometheus.Desc, s *stats, out chan<- prometheus.Metric) {
	switch {
	case m.snapshot != nil:
		out <- cumulated(desc, m.snapshot(s))
	case m.values != nil:
		values := m.values(s)
		for _, label := range m.known {
			out <- prometheus.MustNewConstMetric(desc, m.kind, values[label], label)
			delete(values, label)
		}
		for label, v := range values {
			out <- prometheus.MustNewConstMetric(desc, m.kind, v, label)
		}
	default:
		out <- prometheus.MustNewConstMetric(desc, m.kind, m.value(s))
	}
}

// cumulated turns s into what Prometheus counts: in each bucket what lies in the lower ones, too.
func cumulated(desc *prometheus.Desc, s measure.Snapshot) prometheus.Metric {
	buckets := make(map[float64]uint64, len(s.Bounds))
	var n uint64
	for i, bound := range s.Bounds {
		n += s.Counts[i]
		buckets[bound] = n
	}
	return prometheus.MustNewConstHistogram(desc, s.Count(), s.Sum, buckets)
}
