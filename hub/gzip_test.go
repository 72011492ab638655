package hub

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/roxyhub/roxy/internal/deflate"
	"github.com/roxyhub/roxy/internal/fanout"
)

// zipped is a stream of a compressed class, and what its client should read.
type zipped struct {
	gzipStream
	reader    *fanout.Reader
	got, want []byte
}

func (z *zipped) read(t *rapid.T, batches int) {
	for range batches {
		batch, ok := z.reader.Next()
		if !ok {
			t.Fatal("cut inside the limits")
		}
		if len(batch.Bytes) == 0 {
			return
		}
		z.got = append(z.got, batch.Bytes...)
		z.gave(&batch)
	}
}

// Whoever joins a class when, gets what of its own in between, skips what, reads how far behind, and whether the class
// grows or shrinks meanwhile: what each is given is one whole gzip member with the right text and sum.
func TestGzipStreamIsWholeWhateverHappensToIt(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		log, class := fanout.NewLog(fanout.Limits{Bytes: 1 << 30, Frames: 1 << 20}), &gzipClass{}
		var streams []*zipped
		own := func(z *zipped, text string) {
			z.reader.Interrupt()
			z.got = z.pack(z.got, []byte(text))
			z.want = append(z.want, text...)
		}
		now := int64(0)
		for n := range rapid.IntRange(1, 150).Draw(t, "steps") {
			text := fmt.Appendf(nil, `event: order:new {"n":%d,"note":%q}`+"\n\n", n, bytes.Repeat([]byte("x, "), rapid.IntRange(0, 900).Draw(t, "size")))
			switch step := rapid.IntRange(0, 9).Draw(t, "step"); {
			case step == 0 || len(streams) == 0:
				z := &zipped{reader: log.Join()}
				z.follow(class.sum)
				own(z, "hello\n\n")
				streams = append(streams, z)
			case step == 1:
				z := rapid.SampledFrom(streams).Draw(t, "beats")
				z.read(t, 1000) // a heartbeat comes when nothing is pending
				own(z, "heartbeat\n\n")
			case step == 2:
				z := rapid.SampledFrom(streams).Draw(t, "private to")
				z.reader.Private(packAlone(nil, text), deflate.Sum{}.With(text), uint64(n), now)
				z.want = append(z.want, text...)
			case step == 3:
				rapid.SampledFrom(streams).Draw(t, "reads").read(t, rapid.IntRange(1, 3).Draw(t, "batches"))
			default:
				var alone []byte
				if rapid.IntRange(0, 9).Draw(t, "few") > 0 {
					alone = packAlone(nil, text)
				}
				if rapid.IntRange(0, 9).Draw(t, "idle") == 0 {
					now += int64(2 * epochIdle)
				}
				now += int64(time.Millisecond)
				var except []*fanout.Reader
				for _, z := range streams {
					if rapid.IntRange(0, 4).Draw(t, "excepted") == 0 {
						except = append(except, z.reader)
					} else {
						z.want = append(z.want, text...)
					}
				}
				class.end = log.AppendPacked(class.pack(nil, text, alone, now), uint64(n), now, except...)
			}
		}
		for _, z := range streams {
			z.read(t, 1000)
			z.got = z.end(z.got)
			r, err := gzip.NewReader(bytes.NewReader(z.got))
			if err != nil {
				t.Fatal(err)
			}
			if text, err := io.ReadAll(r); err != nil || !bytes.Equal(text, z.want) {
				t.Fatalf("%v: got %d bytes, want %d:\n%.300s\n%.300s", err, len(text), len(z.want), text, z.want)
			}
		}
	})
}

// A stream that the hub ends before a write of its own, even before the first, says goodbye in bytes that can be read: what
// was not sent leaves no trace in the member.
func TestAStreamThatWasEndedSaysGoodbyeInAWholeMember(t *testing.T) {
	sink := newRecorder()
	st := &stream{sink: sink, sub: Subscription{Encoding: lineEncoding{}}, gzip: &gzipStream{}}
	st.wake()
	st.end(Replaced)
	if err := st.control(Control{Type: "roxy:hello"}); !errors.Is(err, errEnded) {
		t.Fatalf("hello: %v", err)
	}
	st.bye()
	r, err := gzip.NewReader(&sink.text)
	if err != nil {
		t.Fatal(err)
	}
	if text, err := io.ReadAll(r); err != nil || !strings.Contains(string(text), "roxy:bye") || strings.Contains(string(text), "roxy:hello") {
		t.Errorf("it said %q, %v", text, err)
	}
}

// What a class has in common comes once compressed and refers to what came before: the point of it all.
func TestWindowOfAClassMakesEventsSmall(t *testing.T) {
	log, class := fanout.NewLog(fanout.Limits{Bytes: 1 << 20, Frames: 1000}), &gzipClass{}
	r := log.Join()
	var plain, sent []int
	for n := range 40 {
		text := fmt.Appendf(nil, "id: k3x9.%d\nevent: order:new\ndata: "+`{"topic":"orders/%d","time":"2026-11-23T18:00:%02d.%06dZ","by":"waiter-%d","data":{"table":%d,"status":"open","lines":[{"product":"p-%d","qty":%d,"price":%d.50,"note":""},{"product":"p-%d","qty":1,"price":12.00,"note":""}],"guests":%d}}`+"\n\n",
			100000+n, n*37%500, n, n*7919, n%7, n*13%60, n*31%90, 1+n%3, n%17, n*53%90, n%5)
		class.end = log.AppendPacked(class.pack(nil, text, packAlone(nil, text), int64(n)), uint64(n+1), 0)
		batch, _ := r.Next()
		plain, sent = append(plain, len(text)), append(sent, len(batch.Bytes))
	}
	if len(slices.Compact(slices.Clone(plain))) < 2 {
		t.Fatal("all events are alike")
	}
	p, s := 0, 0
	for i := 10; i < 40; i++ { // behind the first, which had nothing to refer to
		p, s = p+plain[i], s+sent[i]
	}
	if ratio := float64(p) / float64(s); ratio < 2.5 {
		t.Errorf("%d bytes became %d: only %.2f times smaller", p, s, ratio)
	} else {
		t.Logf("%.2f times smaller", ratio)
	}
}
