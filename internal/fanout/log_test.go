package fanout

import (
	"bytes"
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"github.com/roxyhub/roxy/internal/deflate"
)

func TestReaderGetsEveryFrameInOrderWithItsOwnAtTheirPlaceAndNoneThatItIsToSkip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := NewLog(Limits{Bytes: 1 << 20, Frames: 1 << 20})
		type follower struct {
			r    *Reader
			want bytes.Buffer
			got  bytes.Buffer
			at   uint64
		}
		var followers []*follower
		drain := func(f *follower, batches int) {
			for range batches {
				b, ok := f.r.Next()
				if !ok {
					t.Fatal("cut inside the limits")
				}
				f.got.Write(b.Bytes)
				if n := f.r.Pending(); n != int64(f.want.Len()-f.got.Len()) {
					t.Fatalf("%d bytes pending, %d are missing", n, f.want.Len()-f.got.Len())
				}
				if b.Offset < f.at && len(b.Bytes) > 0 {
					t.Fatalf("offset went from %d to %d", f.at, b.Offset)
				}
				f.at = max(f.at, b.Offset)
			}
		}
		for offset := uint64(1); offset < 200; offset++ {
			frame := []byte(fmt.Sprintf("<%d:%s>", offset, bytes.Repeat([]byte("x"), rapid.IntRange(0, 3000).Draw(t, "size"))))
			switch rapid.IntRange(0, 9).Draw(t, "step") {
			case 0:
				followers = append(followers, &follower{r: l.Join()})
			case 1, 2, 3:
				if len(followers) > 0 {
					f := rapid.SampledFrom(followers).Draw(t, "private to")
					f.r.Private(frame, deflate.Sum{}, offset, int64(offset))
					f.want.Write(frame)
				}
			default:
				var except []*Reader
				for _, f := range followers {
					if rapid.IntRange(0, 3).Draw(t, "excepted") == 0 {
						except = append(except, f.r)
					} else {
						f.want.Write(frame)
					}
				}
				l.Append(frame, offset, int64(offset), except...)
			}
			if len(followers) > 0 {
				drain(rapid.SampledFrom(followers).Draw(t, "reads"), rapid.IntRange(0, 5).Draw(t, "batches"))
			}
		}
		for _, f := range followers {
			drain(f, 500)
			if !bytes.Equal(f.got.Bytes(), f.want.Bytes()) {
				t.Fatalf("got %d bytes, want %d", f.got.Len(), f.want.Len())
			}
			if n := f.r.Pending(); n != 0 {
				t.Fatalf("%d bytes pending at the end", n)
			}
			f.r.Leave()
			f.r.Leave()
		}
		if n := l.Readers(); n != 0 {
			t.Fatalf("%d readers left", n)
		}
	})
}

func TestReaderBeyondTheLimitsIsCutAndTheOthersAreNot(t *testing.T) {
	for name, limits := range map[string]Limits{
		"by frames": {Bytes: 1 << 30, Frames: 100},
		"by bytes":  {Bytes: 100 << 10, Frames: 1 << 30},
	} {
		t.Run(name, func(t *testing.T) {
			l := NewLog(limits)
			stuck, quick := l.Join(), l.Join()
			frame := bytes.Repeat([]byte("x"), 1<<10)
			for i := range 1000 {
				l.Append(frame, uint64(i+1), 0)
				if b, ok := quick.Next(); !ok || len(b.Bytes) != len(frame) {
					t.Fatalf("frame %d: quick reader got %d bytes, ok %t", i, len(b.Bytes), ok)
				}
				if i == 50 {
					if _, ok := stuck.Next(); !ok {
						t.Fatal("cut within the limits")
					}
				}
			}
			if _, ok := stuck.Next(); ok {
				t.Error("the stuck reader was not cut")
			}
			if kept := l.Kept(); kept > int64(100<<10+lastBlock) {
				t.Errorf("log keeps %d bytes", kept)
			}
		})
	}
}

func TestLaneBeyondTheLimitsCutsItsReader(t *testing.T) {
	l := NewLog(Limits{Bytes: 1 << 10, Frames: 10})
	r := l.Join()
	for i := range 20 {
		r.Private([]byte("frame"), deflate.Sum{}, uint64(i+1), 0)
	}
	if _, ok := r.Next(); ok {
		t.Error("not cut")
	}
}

// A device that hears nothing of what it says itself costs nothing for it.
func TestReaderThatSkipsWhatItHasKeptUpWithKeepsNothing(t *testing.T) {
	l := NewLog(Limits{Bytes: 1 << 20, Frames: 10})
	r, behind := l.Join(), l.Join()
	for i := range 1000 {
		l.Append([]byte("frame"), uint64(i+1), 0, r)
	}
	if len(r.lane) > 0 || r.Pending() > 0 {
		t.Errorf("%d in the lane, %d bytes pending", len(r.lane), r.Pending())
	}
	l.Append([]byte("frame"), 1001, 0)
	if b, ok := r.Next(); !ok || b.Frames != 1 || b.Offset != 1001 {
		t.Errorf("got %+v, %t", b, ok)
	}
	for range 20 { // skips in a row are one
		l.Append([]byte("frame"), 0, 0, behind)
	}
	if len(behind.lane) > 1 {
		t.Errorf("%d in the lane of the one behind", len(behind.lane))
	}
}

func TestIdleLogKeepsOneSmallBlock(t *testing.T) {
	l := NewLog(Limits{Bytes: 1 << 20, Frames: 1000})
	r := l.Join()
	for i := range 10_000 {
		l.Append(bytes.Repeat([]byte("x"), 300), uint64(i+1), 0)
		for b, _ := r.Next(); len(b.Bytes) > 0; b, _ = r.Next() {
		}
	}
	if kept := l.Kept(); kept > firstBlock {
		t.Errorf("%d bytes kept for readers that have seen everything", kept)
	}
}

func BenchmarkAppendAndNext(b *testing.B) {
	for _, readers := range []int{1, 1000} {
		b.Run(fmt.Sprintf("readers=%d", readers), func(b *testing.B) {
			b.ReportAllocs()
			l := NewLog(Limits{Bytes: 1 << 20, Frames: 1000})
			all := make([]*Reader, readers)
			for i := range all {
				all[i] = l.Join()
			}
			frame := bytes.Repeat([]byte("x"), 400)
			for i := range b.N {
				l.Append(frame, uint64(i+1), 0)
				for _, r := range all {
					r.Next()
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*readers), "ns/delivery")
		})
	}
}
