package auth

import (
	"container/list"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"sync"
	"time"

	"github.com/roxyhub/roxy"
)

const (
	ticketLife      = 30 * time.Second
	ticketBytes     = 32      // 256 random bits
	maxTickets      = 100_000 // unused at a time: 40 MB
	maxUserTickets  = 100     // of one user of one tenant: five times the connections they may have
	ticketsTryAgain = 5 * time.Second
)

// tickets holds those that were issued and not used yet, by the hash of the ticket: whoever reads this memory learns
// no ticket, and looking one up takes no longer the more of it was guessed. They live on the node that issued them:
// behind a load balancer a client must redeem its ticket there.
type tickets struct {
	mu     sync.Mutex
	byHash map[tokenHash]*list.Element // of *ticket
	order  list.List                   // oldest first
	users  map[ticketUser]int
}

type ticket struct {
	hash    tokenHash
	id      roxy.Identity
	issued  time.Time
	expires time.Time
}

type ticketUser struct{ tenant, user string }

func (t *ticket) user() ticketUser { return ticketUser{t.id.Tenant, t.id.User} }

func newTickets() *tickets {
	return &tickets{byHash: make(map[tokenHash]*list.Element), users: make(map[ticketUser]int)}
}

// IssueTicket returns a ticket that stands for id once, within 30 s and no longer than id's token is good, on this
// node. It is for clients that can send no header, as a browser's EventSource. Errors are *roxy.Problem.
func (v *Verifier) IssueTicket(id roxy.Identity) (text string, expires time.Time, err error) {
	now := time.Now()
	if err := v.stillGood(id, now); err != nil {
		return "", time.Time{}, err
	}
	expires = now.Add(ticketLife)
	if end := id.Expires.Add(v.opts.Leeway); end.Before(expires) {
		expires = end
	}
	var random [ticketBytes]byte
	_, _ = rand.Read(random[:]) // never fails: crypto/rand ends the program first
	text = base64.RawURLEncoding.EncodeToString(random[:])
	if err := v.tickets.add(&ticket{sha256.Sum256([]byte(text)), id, now, expires}); err != nil {
		return "", time.Time{}, err
	}
	return text, expires, nil
}

// add keeps t, unless there are too many.
func (ts *tickets) add(t *ticket) error {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	for e := ts.order.Front(); e != nil && t.issued.Sub(e.Value.(*ticket).issued) >= ticketLife; e = ts.order.Front() {
		ts.remove(e)
	}
	if ts.users[t.user()] >= maxUserTickets {
		return &roxy.Problem{Code: roxy.RateLimited, Detail: "this user has too many tickets that were not used yet", RetryAfter: ticketsTryAgain}
	}
	if ts.order.Len() >= maxTickets {
		return &roxy.Problem{Code: roxy.Overloaded, Detail: "too many tickets were not used yet", RetryAfter: ticketsTryAgain}
	}
	ts.byHash[t.hash] = ts.order.PushBack(t)
	ts.users[t.user()]++
	return nil
}

// redeem spends a ticket and returns who bought it.
func (ts *tickets) redeem(text string, now time.Time) (roxy.Identity, bool) {
	hash := sha256.Sum256([]byte(text))
	ts.mu.Lock()
	defer ts.mu.Unlock()
	e, ok := ts.byHash[hash]
	if !ok {
		return roxy.Identity{}, false
	}
	t := ts.remove(e)
	return t.id, now.Before(t.expires)
}

func (ts *tickets) remove(e *list.Element) *ticket {
	t := ts.order.Remove(e).(*ticket)
	delete(ts.byHash, t.hash)
	if ts.users[t.user()]--; ts.users[t.user()] == 0 {
		delete(ts.users, t.user())
	}
	return t
}

func (ts *tickets) outstanding() int {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	return ts.order.Len()
}
