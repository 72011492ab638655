package limit

import (
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/roxyhub/roxy"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// refusal returns err as the problem it must be.
func refusal(t *testing.T, err error) roxy.Problem {
	t.Helper()
	p, ok := errors.AsType[*roxy.Problem](err)
	if !ok || p.Code != roxy.RateLimited || p.Detail == "" || p.RetryAfter <= 0 {
		t.Fatalf("got %#v, want a rate-limited problem that says when to come back", err)
	}
	return *p
}

func publish(t *testing.T, l *Limits, user string, n int) {
	t.Helper()
	if _, err := l.Publish("bar", user, n); err != nil {
		t.Fatalf("%d events: %v", n, err)
	}
}

func TestPublishHoldsTheRateAndTellsWhatIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(Options{})
		state, err := l.Publish("bar", "u7", 150)
		want := roxy.LimitState{Name: "publish", Quota: 200, Window: 2 * time.Second, Remaining: 50}
		if err != nil || state != want {
			t.Fatalf("%+v, %v, want %+v", state, err, want)
		}
		state, err = l.Publish("bar", "u7", 60)
		p := refusal(t, err)
		if p.RetryAfter != 100*time.Millisecond || *p.Limit != want || state != want {
			t.Fatalf("10 permits short at 100/s: %+v, %+v", p, p.Limit)
		}
		time.Sleep(p.RetryAfter)
		publish(t, l, "u7", 60)
		if _, err := l.Publish("bar", "u7", 1); err == nil {
			t.Fatal("the bucket should be empty")
		}
		publish(t, l, "u8", 200)
		if got := l.Stats().Refused; got[PublishPerUser] != 2 || got[PublishPerTenant] != 0 {
			t.Fatalf("counted %v", got)
		}
	})
}

func TestABatchBeyondTheBurstNeedsAFullBucketAndLeavesADebt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(Options{})
		publish(t, l, "u7", 1)
		p := refusal(t, func() error { _, err := l.Publish("bar", "u7", 1000); return err }())
		if p.RetryAfter != 10*time.Millisecond {
			t.Fatalf("one permit short of a full bucket: %s", p.RetryAfter)
		}
		time.Sleep(p.RetryAfter)
		publish(t, l, "u7", 1000)
		time.Sleep(8 * time.Second) // the debt of 800
		if _, err := l.Publish("bar", "u7", 1); err == nil {
			t.Fatal("only the debt is paid")
		}
		time.Sleep(10 * time.Millisecond)
		publish(t, l, "u7", 1)
	})
}

func TestARefusalByTheTenantCostsTheUserNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(Options{PublishRate: 1, PublishBurst: 10, PublishTenantRate: 5, PublishTenantBurst: 15})
		publish(t, l, "u7", 10)
		_, err := l.Publish("bar", "u8", 10)
		if p := refusal(t, err); p.Limit.Name != PublishPerTenant || p.RetryAfter != time.Second {
			t.Fatalf("%v, %+v", p, p.Limit)
		}
		time.Sleep(time.Second)
		state, err := l.Publish("bar", "u8", 10)
		if err != nil || state.Remaining != 0 {
			t.Fatalf("the user's ten permits should be untouched: %+v, %v", state, err)
		}
		if _, err := l.Publish("other", "u8", 10); err != nil {
			t.Fatalf("another tenant's user of the same name: %v", err)
		}
	})
}

func TestTheStateIsTheTighterBuckets(t *testing.T) {
	l := New(Options{PublishRate: 1, PublishBurst: 100, PublishTenantRate: 1, PublishTenantBurst: 10})
	state, err := l.Publish("bar", "u7", 1)
	if err != nil || state.Name != PublishPerTenant || state.Remaining != 9 {
		t.Fatalf("%+v, %v", state, err)
	}
}

// Whatever is sent, in any time span no more passes than the burst, the rate and the largest batch allow.
func TestNobodyExceedsTheRateOverTime(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		sizes := rapid.SliceOfN(rapid.IntRange(0, 50), 1, 200).Draw(rt, "sizes")
		waits := rapid.SliceOfN(rapid.IntRange(0, 3000), len(sizes), len(sizes)).Draw(rt, "waits")
		var excess string // rapid wants to hear of it on its own goroutine
		synctest.Test(t, func(*testing.T) {
			l := New(Options{PublishRate: 10, PublishBurst: 20})
			began, passed := time.Now(), 0
			for i, n := range sizes {
				time.Sleep(time.Duration(waits[i]) * time.Millisecond)
				_, err := l.Publish("bar", "u7", n)
				if err == nil {
					passed += n
				}
				// A batch passes when the bucket is full: by then at most burst+rate*t have been given, the batch included
				// up to the burst, and what lies beyond is the debt.
				if allowed := 20 + 10*time.Since(began).Seconds() + 30; float64(passed) > allowed {
					excess = fmt.Sprintf("%d events in %s", passed, time.Since(began))
				}
			}
		})
		if excess != "" {
			rt.Fatal(excess)
		}
	})
}

func TestNegativeMeansNoLimit(t *testing.T) {
	l := New(Options{
		ConnectionsPerIP: -1, ConnectionsPerUser: -1, ConnectionsPerTenant: -1, AttemptsPerIP: -1, PublishRate: -1, PublishTenantBurst: -1, AckRate: -1,
	})
	ip := netip.MustParseAddr("192.0.2.1")
	for range 300 {
		if err := l.Attempt(ip); err != nil {
			t.Fatal(err)
		}
		if _, err := l.Connect(ip, "bar", "u7"); err != nil {
			t.Fatal(err)
		}
	}
	state, err := l.Publish("bar", "u7", 1_000_000)
	if err != nil || state != (roxy.LimitState{}) {
		t.Fatalf("%+v, %v", state, err)
	}
	for range 300 {
		if state, err := l.Acknowledge("bar", "u7"); err != nil || state != (roxy.LimitState{}) {
			t.Fatalf("%+v, %v", state, err)
		}
	}
}

func TestAttemptsAreCountedByAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(Options{AttemptsPerIP: 2})
		spend := func(addresses ...string) {
			t.Helper()
			for _, ip := range addresses {
				if err := l.Attempt(netip.MustParseAddr(ip)); err != nil {
					t.Fatalf("%s: %v", ip, err)
				}
			}
		}
		spend("192.0.2.1", "::ffff:192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8::ffff:2%eth0", "2001:db8:0:1::1")
		for _, ip := range []string{"192.0.2.1", "2001:db8::3"} {
			p := refusal(t, l.Attempt(netip.MustParseAddr(ip)))
			if p.RetryAfter != 500*time.Millisecond || p.Limit.Name != Attempts {
				t.Fatalf("%s: %+v, %+v", ip, p, p.Limit)
			}
		}
		time.Sleep(500 * time.Millisecond)
		spend("192.0.2.1", "2001:db8::3", "192.0.2.2")
		if n := l.Stats().Refused[Attempts]; n != 2 {
			t.Fatalf("counted %d refusals", n)
		}
	})
}

func TestConnectCountsAllThreeOrNone(t *testing.T) {
	l := New(Options{ConnectionsPerIP: 3, ConnectionsPerUser: 2, ConnectionsPerTenant: 4})
	ip := func(i byte) netip.Addr { return netip.AddrFrom4([4]byte{192, 0, 2, i}) }
	connect := func(i byte, tenant, user string) func() {
		t.Helper()
		release, err := l.Connect(ip(i), tenant, user)
		if err != nil {
			t.Fatal(err)
		}
		return release
	}
	one := connect(1, "bar", "a")
	connect(1, "bar", "a")
	refused := func(i byte, tenant, user, limit string) {
		t.Helper()
		before := l.Stats()
		release, err := l.Connect(ip(i), tenant, user)
		refusal(t, err)
		after := l.Stats()
		if release != nil || after.Refused[limit] != before.Refused[limit]+1 {
			t.Fatalf("counted %v", after.Refused)
		}
		if after.Connections != before.Connections || after.IPs != before.IPs || after.Users != before.Users || after.Tenants != before.Tenants {
			t.Fatalf("a refusal changed the counts: %+v, %+v", before, after)
		}
	}
	refused(2, "bar", "a", ConnectionsPerUser)
	connect(1, "other", "a") // another tenant's user of the same name
	refused(1, "bar", "b", ConnectionsPerIP)
	connect(2, "bar", "b")
	connect(3, "bar", "c")
	refused(4, "bar", "d", ConnectionsPerTenant)
	one()
	one()
	connect(4, "bar", "d")
	refused(4, "bar", "e", ConnectionsPerTenant)
}

func TestNothingIsKeptOfConnectionsThatEnded(t *testing.T) {
	l := New(Options{})
	var wg sync.WaitGroup
	for i := range byte(64) {
		wg.Go(func() {
			release, err := l.Connect(netip.AddrFrom4([4]byte{192, 0, 2, i}), fmt.Sprint("t", i%3), fmt.Sprint("u", i%7))
			if err != nil {
				t.Error(err)
				return
			}
			wg.Go(release)
			wg.Go(release)
		})
	}
	wg.Wait()
	c := &l.connections
	if c.total != 0 || len(c.ips)+len(c.users)+len(c.tenants) != 0 {
		t.Fatalf("left: %d, %v, %v, %v", c.total, c.ips, c.users, c.tenants)
	}
}

func TestSetKeepsWhatWasSpent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(Options{})
		publish(t, l, "u7", 200)
		l.Set(Options{PublishRate: 1, PublishBurst: 2})
		if _, err := l.Publish("bar", "u7", 1); err == nil {
			t.Fatal("a reload filled the bucket")
		}
		time.Sleep(time.Hour)
		publish(t, l, "u7", 2)
		if _, err := l.Publish("bar", "u7", 1); err == nil {
			t.Fatal("the new burst is not held")
		}
		l.Set(Options{PublishRate: -1, PublishTenantRate: -1})
		publish(t, l, "u7", 1_000_000)
	})
}

func TestFullBucketsAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(Options{})
		for i := range 1000 {
			publish(t, l, fmt.Sprint("u", i), 20)
		}
		if n := l.Stats().Buckets; n != 1001 {
			t.Fatalf("%d buckets, want 1,000 users' and the tenant's", n)
		}
		time.Sleep(time.Minute)
		for i := range 600 { // each new one takes two old ones away
			publish(t, l, fmt.Sprint("v", i), 1)
		}
		if s := l.Stats(); s.Buckets > 602 || s.Forgotten != 0 {
			t.Fatalf("%d buckets, %d forgotten early", s.Buckets, s.Forgotten)
		}
	})
}

func TestBucketsNeverExceedTheirBound(t *testing.T) {
	now := time.Now()
	bs := newBuckets[int](10)
	bs.set(now, quota{1, 1})
	for i := range 100 {
		bs.get(now, i).AllowN(now, 1)
		bs.get(now, 0) // used again and again, so never the one to go
	}
	if len(bs.byKey) != 10 || bs.forgotten != 90 {
		t.Fatalf("%d buckets, %d forgotten", len(bs.byKey), bs.forgotten)
	}
	if bs.get(now, 0).AllowN(now, 1) {
		t.Fatal("the bucket in use was forgotten")
	}
	n := 0
	for b := bs.newest; b != nil; b = b.older {
		n++
	}
	if n != 10 {
		t.Fatalf("%d buckets are linked", n)
	}
}

func BenchmarkPublish(b *testing.B) {
	l := New(Options{PublishRate: 1, PublishBurst: 1e9, PublishTenantRate: 1, PublishTenantBurst: 1e9})
	users := make([]string, 1000)
	for i := range users {
		users[i] = fmt.Sprint("u", i)
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		if _, err := l.Publish("bar", users[i%len(users)], 1); err != nil {
			b.Fatal(err)
		}
		i++
	}
}

func BenchmarkConnect(b *testing.B) {
	l := New(Options{})
	ip := netip.MustParseAddr("2001:db8::1")
	b.ReportAllocs()
	for b.Loop() {
		release, err := l.Connect(ip, "bar", "u7")
		if err != nil {
			b.Fatal(err)
		}
		release()
	}
}

func BenchmarkAttempt(b *testing.B) {
	l := New(Options{AttemptsPerIP: 1e9})
	ip := netip.MustParseAddr("2001:db8::1")
	b.ReportAllocs()
	for b.Loop() {
		if err := l.Attempt(ip); err != nil {
			b.Fatal(err)
		}
	}
}
