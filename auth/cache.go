package auth

import (
	"crypto/sha256"
	"sync"
	"sync/atomic"
	"time"

	"github.com/roxyhub/roxy"
)

const (
	// cacheLife bounds how long a token goes on being good after the key that signed it was withdrawn.
	cacheLife = time.Minute
	// cacheSize bounds each of the two generations: some MB when full.
	cacheSize = 4096
)

// cache remembers tokens whose signature was found good, by their hash, so that a publisher that sends its token with
// every request pays for one verification a minute: 60 µs for ES256, more than the rest of a publish (BenchmarkVerify).
// It holds two generations of tokens; when the young one is full, the old one is dropped and the young one ages. So a
// token that is used stays, and the bound needs no list and no sweep.
//
// Only what cannot change is remembered. Whether a token has expired or was revoked is looked at on every use, and an
// entry made under another policy counts as none.
type cache struct {
	mu         sync.Mutex
	young, old map[tokenHash]*entry
	hits       atomic.Uint64
}

type tokenHash = [sha256.Size]byte

type entry struct {
	id     roxy.Identity
	policy *Policy // under which id.Grant was made
	until  time.Time
}

func newCache() *cache { return &cache{young: make(map[tokenHash]*entry)} }

// get returns who the token is, if that is remembered.
func (c *cache) get(hash tokenHash, policy *Policy, now time.Time) (roxy.Identity, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, young := c.young[hash]
	if !young {
		e = c.old[hash]
	}
	if e == nil || e.policy != policy || !now.Before(e.until) {
		return roxy.Identity{}, false
	}
	if !young {
		c.add(hash, e)
	}
	c.hits.Add(1)
	return e.id, true
}

// put remembers who the token is.
func (c *cache) put(hash tokenHash, id roxy.Identity, policy *Policy, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.add(hash, &entry{id, policy, now.Add(cacheLife)})
}

func (c *cache) add(hash tokenHash, e *entry) {
	if len(c.young) >= cacheSize {
		c.old, c.young = c.young, make(map[tokenHash]*entry)
	}
	c.young[hash] = e
}
