// Package telemetry shows what the parts of a hub count as Prometheus metrics, and spells the log. It is the one package
// that knows names and labels (metrics.go, docs/metrics.md); the parts count in atomics behind their Stats and know no
// Prometheus.
// No label holds a tenant, a user, a topic or anything else that grows with use.
package telemetry

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/roxyhub/roxy/auth"
	"github.com/roxyhub/roxy/engine/disk"
	"github.com/roxyhub/roxy/hub"
	"github.com/roxyhub/roxy/internal/fanout"
	"github.com/roxyhub/roxy/limit"
	"github.com/roxyhub/roxy/webhook"
)

// Handler answers /metrics with the counts of these parts, gate being that of the public listeners and hook nil when there is none, the Go runtime's, the process's and the build's.
func Handler(h *hub.Hub, store *disk.Engine, limits *limit.Limits, verifier *auth.Verifier, gate *fanout.Gate, hook *webhook.Webhook) http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(
		newCollector(func() *stats {
			return &stats{hub: h.Stats(), disk: store.Stats(), limits: limits.Stats(), auth: verifier.Stats(), gate: gate, hook: hook.Stats()}
		}),
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		collectors.NewBuildInfoCollector(),
	)
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{EnableOpenMetrics: true})
}
