package limit

import (
	"fmt"
	"log/slog"
	"math"
	"runtime"
	"runtime/metrics"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/roxyhub/roxy"
)

// Bounds of the process as a whole.
const (
	// memoryShare of the memory limit may be in use before newcomers are refused. The rest is what the collector needs to
	// work without eating the processor, and what those who are there may still ask for.
	memoryShare = 0.8
	// lookAgain is how old a look at the memory may be: a look costs some µs, a publish some hundreds.
	lookAgain = 100 * time.Millisecond
	// collectAgain is how often the memory is collected before somebody is refused: what is in use is known as of the last
	// collection, and nobody allocates who is refused.
	collectAgain = time.Second
	// capacityRetry is when to come back: others have to leave first.
	capacityRetry = 5 * time.Second
)

// capacity is what the process can hold, whoever asks.
type capacity struct {
	log     *slog.Logger
	refused struct{ descriptors, memory atomic.Uint64 }
	told    struct{ descriptors, memory rate.Sometimes }

	mu        sync.Mutex
	looked    time.Time
	collected time.Time
	used      uint64
	bound     uint64 // 0 for none
}

func (c *capacity) init(log *slog.Logger) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	c.log = log
	c.told.descriptors.Interval, c.told.memory.Interval = time.Minute, time.Minute
}

// NoDescriptor refuses what would keep a descriptor that the hub has to spare for others.
func (l *Limits) NoDescriptor() error {
	c := &l.capacity
	c.refused.descriptors.Add(1)
	c.told.descriptors.Do(func() {
		c.log.Error("new streams are refused: too many connections for the open files that the system allows; raise that limit")
	})
	return &roxy.Problem{
		Code: roxy.Overloaded, Detail: "the hub has no descriptor for one more connection that stays", RetryAfter: capacityRetry,
	}
}

// Memory refuses newcomers while the process is near its memory limit: GOMEMLIMIT, or what debug.SetMemoryLimit said.
func (l *Limits) Memory() error {
	c := &l.capacity
	used, bound := c.memory(time.Now(), true)
	if bound == 0 || used <= bound {
		return nil
	}
	c.refused.memory.Add(1)
	c.told.memory.Do(func() {
		c.log.Error("new streams and publishes are refused: the memory limit is near", "used", used, "bound", bound)
	})
	return &roxy.Problem{
		Code: roxy.Overloaded, RetryAfter: capacityRetry,
		Detail: fmt.Sprintf("the hub uses %d MiB of memory, at most %d", used>>20, bound>>20),
	}
}

// memory returns what is in use and up to where newcomers are let in, 0 for no bound. With collect it makes sure, before it
// says that there is too much, that this still holds.
func (c *capacity) memory(now time.Time, collect bool) (used, bound uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now.Sub(c.looked) >= lookAgain {
		c.look(now)
	}
	if collect && c.bound > 0 && c.used > c.bound && now.Sub(c.collected) >= collectAgain {
		runtime.GC()
		c.collected = time.Now()
		c.look(c.collected)
	}
	return c.used, c.bound
}

// look reads what the Go runtime holds. Of the heap only what the last collection found alive counts: garbage fills any heap
// up to its limit.
func (c *capacity) look(now time.Time) {
	c.looked = now
	samples := []metrics.Sample{
		{Name: "/gc/gomemlimit:bytes"},
		{Name: "/gc/heap/live:bytes"},
		{Name: "/memory/classes/total:bytes"},
		{Name: "/memory/classes/heap/released:bytes"},
		{Name: "/memory/classes/heap/free:bytes"},
		{Name: "/memory/classes/heap/unused:bytes"},
		{Name: "/memory/classes/heap/objects:bytes"},
	}
	metrics.Read(samples)
	c.bound = 0
	if limit := samples[0].Value.Uint64(); limit < math.MaxInt64 {
		c.bound = uint64(float64(limit) * memoryShare)
	}
	c.used = samples[1].Value.Uint64() + samples[2].Value.Uint64()
	for _, s := range samples[3:] {
		c.used -= s.Value.Uint64()
	}
}

func (c *capacity) stats(s *Stats) {
	s.MemoryUsed, s.MemoryBound = c.memory(time.Now(), false)
}
