package limit

import (
	"math"
	"time"

	"golang.org/x/time/rate"

	"github.com/roxyhub/roxy"
)

// maxBuckets bounds each kind of bucket: about 20 MB when all are in use.
const maxBuckets = 100_000

// quota is what a bucket holds and how fast it fills. A negative burst or rate is no limit.
type quota struct {
	rate  rate.Limit // permits per second
	burst int
}

func (q quota) unlimited() bool { return q.rate < 0 || q.burst < 0 }

// state is the limit as its caller sees it.
func (q quota) state(name string, tokens float64) roxy.LimitState {
	return roxy.LimitState{
		Name:      name,
		Quota:     q.burst,
		Window:    q.fill(float64(q.burst)),
		Remaining: max(0, int(tokens)),
	}
}

// fill is how long n permits take to come, rounded up: after that they are there.
func (q quota) fill(n float64) time.Duration {
	return time.Duration(math.Ceil(n / float64(q.rate) * float64(time.Second)))
}

// buckets holds a token bucket for each key, in the order of last use. A bucket that has filled up again says no more
// than none at all: it is forgotten. At most max are kept; beyond that the one longest unused is forgotten even if it
// is not full, and its owner begins with a full one. (Refusing newcomers instead would let whoever fills the table
// lock everybody else out.) Not safe for concurrent use.
type buckets[K comparable] struct {
	quota     quota
	max       int
	byKey     map[K]*bucket[K]
	newest    *bucket[K]
	oldest    *bucket[K]
	forgotten uint64 // not full
}

type bucket[K comparable] struct {
	key          K
	limiter      *rate.Limiter
	newer, older *bucket[K]
}

func newBuckets[K comparable](bound int) buckets[K] {
	return buckets[K]{max: bound, byKey: make(map[K]*bucket[K])}
}

// set changes the quota of all buckets. It costs their number, under the caller's lock: some ms on a reload.
func (bs *buckets[K]) set(now time.Time, q quota) {
	bs.quota = q
	if q.unlimited() {
		clear(bs.byKey)
		bs.newest, bs.oldest = nil, nil
		return
	}
	for _, b := range bs.byKey {
		b.limiter.SetLimitAt(now, q.rate)
		b.limiter.SetBurstAt(now, q.burst)
	}
}

// get returns key's bucket, a full one when none is remembered.
func (bs *buckets[K]) get(now time.Time, key K) *rate.Limiter {
	if b := bs.byKey[key]; b != nil {
		if b != bs.newest {
			bs.unlink(b)
			bs.link(b)
		}
		return b.limiter
	}
	bs.forget(now)
	b := &bucket[K]{key: key, limiter: rate.NewLimiter(bs.quota.rate, bs.quota.burst)}
	bs.byKey[key] = b
	bs.link(b)
	return b.limiter
}

// forget makes room for one more bucket. It looks at two at most, so that each new one pays for the old without a
// sweep that somebody has to wait for, and the table shrinks while it is in use.
func (bs *buckets[K]) forget(now time.Time) {
	for range 2 {
		b := bs.oldest
		if b == nil {
			return
		}
		full := b.limiter.TokensAt(now) >= float64(bs.quota.burst)
		if !full {
			if len(bs.byKey) < bs.max {
				return
			}
			bs.forgotten++
		}
		bs.unlink(b)
		delete(bs.byKey, b.key)
		if !full {
			return
		}
	}
}

func (bs *buckets[K]) link(b *bucket[K]) {
	b.older, b.newer = bs.newest, nil
	if bs.newest != nil {
		bs.newest.newer = b
	} else {
		bs.oldest = b
	}
	bs.newest = b
}

func (bs *buckets[K]) unlink(b *bucket[K]) {
	if b.newer != nil {
		b.newer.older = b.older
	} else {
		bs.newest = b.older
	}
	if b.older != nil {
		b.older.newer = b.newer
	} else {
		bs.oldest = b.newer
	}
}
