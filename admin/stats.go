package admin

import (
	"math"
	"net/http"
	"runtime/metrics"
	"time"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/internal/measure"
)

// stats is the answer to GET /v1/admin/stats.
type stats struct {
	Connections int     `json:"connections"` // live streams of the caller's tenant
	Queues      []queue `json:"queues"`      // one for each device of the tenant for which something waits
	Health      health  `json:"health"`      // of this process
}

// queue is what a device has not seen yet.
type queue struct {
	Device string    `json:"device"`
	Size   int       `json:"size"`
	Oldest time.Time `json:"oldest"`
}

type health struct {
	Uptime  string  `json:"uptime"`
	Memory  uint64  `json:"memory"` // bytes that the process holds of the system's
	Metrics latency `json:"metrics"`
}

// latency is how long things take, since the start and for all tenants together: quantiles, rounded up to the bounds
// of the histograms of /metrics.
type latency struct {
	Commit   quantiles `json:"commit"`
	Delivery quantiles `json:"delivery"`
}

type quantiles struct {
	P50 string `json:"p50"`
	P99 string `json:"p99"`
}

// stats answers GET /v1/admin/stats.
func (a *api) stats(w http.ResponseWriter, r *http.Request, who roxy.Identity) error {
	waiting, err := a.Hub.Queues(r.Context(), who.Tenant)
	if err != nil {
		return err
	}
	queues := make([]queue, len(waiting))
	for i, q := range waiting {
		queues[i] = queue{q.Device, q.Size, q.Oldest.UTC()}
	}
	counted := a.Hub.Stats()
	return answer(w, stats{
		Connections: len(a.Hub.Connections(who.Tenant)),
		Queues:      queues,
		Health: health{
			Uptime: time.Since(a.began).Round(time.Second).String(),
			Memory: memory(),
			Metrics: latency{
				Commit:   quantilesOf(counted.CommitLatency),
				Delivery: quantilesOf(counted.DeliveryLatency),
			},
		},
	})
}

// memory returns what the Go runtime has of the system's memory and has not given back.
func memory() uint64 {
	samples := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(samples)
	return samples[0].Value.Uint64() - samples[1].Value.Uint64()
}

func quantilesOf(s measure.Snapshot) quantiles {
	at := func(q float64) string {
		v := s.Quantile(q)
		if math.IsInf(v, 1) {
			return "more than " + seconds(s.Bounds[len(s.Bounds)-1])
		}
		return seconds(v)
	}
	return quantiles{P50: at(.5), P99: at(.99)}
}

func seconds(v float64) string {
	return time.Duration(math.Round(v * float64(time.Second))).String()
}
