package fanout

import (
	"crypto/tls"
	"fmt"
	"net"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// tally is an owner that counts what has left.
type tally struct{ left *atomic.Int64 }

func (tally) Due(now time.Time, _ bool) ([]byte, time.Time, bool) {
	return nil, now.Add(time.Hour), false
}

func (o tally) Wrote(b *Batch, _ int, _ time.Time) { o.left.Add(int64(b.Frames)) }
func (tally) Closed(Cause)                         {}
func (tally) Released(Socket, Rest)                {}

// readers is the far ends of a benchmark's streams: descriptors, so that nothing but the streams is measured.
type readers []Socket

// connect returns both ends of that many connections through wrap's listener.
func connect(b *testing.B, streams int, wrap func(net.Listener) net.Listener) (ours []net.Conn, far readers) {
	b.Helper()
	inner, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it answers at once
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = inner.Close() }()
	l := wrap(inner)
	for range streams {
		theirs, err := net.Dial("tcp", inner.Addr().String()) //nolint:noctx // as does this
		if err != nil {
			b.Fatal(err)
		}
		c, err := l.Accept()
		if err != nil {
			b.Fatal(err)
		}
		if secure, ok := c.(*tls.Conn); ok {
			shaken := make(chan error, 1)
			go func() { shaken <- secure.HandshakeContext(b.Context()) }()
			client := tls.Client(theirs, &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // a test's own server
			if err := client.HandshakeContext(b.Context()); err != nil {
				b.Fatal(err)
			}
			if err := <-shaken; err != nil {
				b.Fatal(err)
			}
		}
		s, _, err := Detach(theirs)
		if err != nil {
			b.Fatal(err)
		}
		ours, far = append(ours, c), append(far, s)
	}
	b.Cleanup(func() {
		for _, s := range far {
			s.close()
		}
	})
	return ours, far
}

// drain reads what has come.
func (r readers) drain(b *testing.B) {
	b.Helper()
	buf := make([]byte, 256<<10)
	for _, s := range r {
		if _, err := s.read(buf); err != nil {
			b.Fatal(err)
		}
	}
}

// cpu returns what the process has used.
func cpu(b *testing.B) time.Duration {
	b.Helper()
	var use unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &use); err != nil {
		b.Fatal(err)
	}
	return time.Duration(use.Utime.Nano() + use.Stime.Nano())
}

func heap() uint64 {
	runtime.GC()
	runtime.GC() // what was only pooled goes as well
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc + m.StackInuse
}

// What a parked stream costs to keep, and to send an event of 256 bytes to, alone and in batches.
func BenchmarkParked(b *testing.B) {
	secret := certificate(b)
	listen := func(version uint16) func(net.Listener) net.Listener {
		return func(l net.Listener) net.Listener {
			return NewTLSListener(l, &tls.Config{Certificates: []tls.Certificate{secret}, MinVersion: tls.VersionTLS12, MaxVersion: version})
		}
	}
	for _, wire := range []struct {
		name string
		wrap func(net.Listener) net.Listener
	}{
		{"cleartext", func(l net.Listener) net.Listener { return l }},
		{"TLS1.2", listen(tls.VersionTLS12)},
		{"TLS1.3", listen(tls.VersionTLS13)},
	} {
		for _, batch := range []int{1, 20} {
			b.Run(fmt.Sprintf("%s/batch=%d", wire.name, batch), func(b *testing.B) {
				const streams = 1000
				p, err := StartParker(1)
				if err != nil {
					b.Fatal(err)
				}
				b.Cleanup(p.Close)
				l := NewLog(Limits{Bytes: 1 << 20, Frames: 1000})
				var left atomic.Int64
				before := heap()
				ours, far := connect(b, streams, wire.wrap)
				for i, c := range ours {
					s, _, err := Detach(c)
					if err != nil {
						b.Fatal(err)
					}
					p.Park(s, l.Join(), tally{&left}, nil, time.Now().Add(time.Hour))
					ours[i] = nil
				}
				kept := int64(heap()) - int64(before)
				frame := make([]byte, 256)
				want, used := int64(0), time.Duration(0)
				b.ResetTimer()
				for b.Loop() {
					began := cpu(b)
					for range batch {
						l.Append(frame, 1, 0)
					}
					want += int64(batch) * streams
					l.Wake(false)
					for left.Load() < want {
						time.Sleep(50 * time.Microsecond)
					}
					used += cpu(b) - began
					b.StopTimer()
					far.drain(b)
					b.StartTimer()
				}
				b.ReportMetric(float64(kept)/streams, "heap-B/stream")
				b.ReportMetric(float64(used.Nanoseconds())/float64(want), "cpu-ns/delivery")
			})
		}
	}
}
