package bench

import (
	"bytes"
	"encoding/json"
	"math"
	"slices"
	"testing"
	"time"
)

func FuzzScan(f *testing.F) {
	m := mark{id: maxID - 1, run: 1, lane: maxPublishers - 1, topic: maxStreams, seq: 999_999_999, at: 1}
	f.Add([]byte("data: "), 1)
	f.Add([]byte("ZZZQ"), 3)
	f.Add(m.append(nil), markLen)
	f.Add(m.append(nil)[:markLen-1], 7)
	f.Add(payload(nil, m, 200), 100)
	f.Fuzz(func(t *testing.T, noise []byte, size int) {
		text := slices.Concat(noise, []byte("\n"), payload(nil, m, minSize), noise, []byte("\n"), payload(nil, m, minSize+9))
		scan := func(size int) (found []mark) {
			var s scanner
			for piece := range slices.Chunk(text, size) {
				s.scan(bytes.Clone(piece), func(m mark) { found = append(found, m) })
			}
			return found
		}
		whole := scan(len(text))
		if size = min(max(size, 1), len(text)); !slices.Equal(whole, scan(size)) {
			t.Errorf("in pieces of %d: %v, in one: %v", size, scan(size), whole)
		}
		if n := len(whole); n < 2 || whole[n-1] != m {
			t.Errorf("found %v", whole)
		}
	})
}

func TestPayloadIsJSONOfItsSize(t *testing.T) {
	for _, size := range []int{minSize, minSize + 1, 4096} {
		if b := payload(nil, mark{}, size); len(b) != size || !json.Valid(b) {
			t.Errorf("%d bytes, want %d: %s", len(b), size, b)
		}
	}
}

func TestALaneTellsWhatIsLateFromWhatWasHere(t *testing.T) {
	var l lane
	for i, step := range []struct {
		seq  int64
		want arrival
	}{{0, next}, {0, again}, {3, next}, {1, late}, {1, again}, {2, late}, {4, next}, {3, again}, {2, again}} {
		if got := l.take(step.seq); got != step.want {
			t.Errorf("step %d, number %d: %d, want %d", i, step.seq, got, step.want)
		}
	}
	if len(l.missing) != 0 {
		t.Errorf("%v are missing", l.missing)
	}
}

func TestLatenciesAreTwoPercentExact(t *testing.T) {
	d := newDurations()
	if l := d.latency(); l != (Latency{}) {
		t.Errorf("of nothing: %+v", l)
	}
	for us := 1; us <= 100_000; us++ {
		d.add(time.Duration(us) * time.Microsecond)
	}
	l := d.latency()
	for got, want := range map[float64]float64{l.P50: 50, l.P90: 90, l.P99: 99, l.P999: 99.9} {
		if math.Abs(got-want) > 0.02*want {
			t.Errorf("%v ms, want %v", got, want)
		}
	}
	if l.Max != 100 {
		t.Errorf("the longest took %v ms, want 100", l.Max)
	}
}

func BenchmarkScan(b *testing.B) {
	b.ReportAllocs()
	var s scanner
	text := append(payload([]byte("event: message\ndata: "), mark{}, 256), "\n\n"...)
	b.SetBytes(int64(len(text)))
	n := 0
	for b.Loop() {
		s.scan(text, func(mark) { n++ })
	}
}
