package deflate

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"hash/crc32"
	"io"
	"testing"

	"pgregory.net/rapid"
)

func TestFragmentsOfAnyKindFollowOneAnother(t *testing.T) {
	text := rapid.OneOf(rapid.SliceOfN(rapid.Byte(), 0, 3000), rapid.Map(rapid.IntRange(0, 70_000), func(n int) []byte {
		return bytes.Repeat([]byte(`{"table":7,"status":"open"}`), n/27)
	}))
	rapid.Check(t, func(t *rapid.T) {
		stream, plain, sum := []byte(Header), []byte(nil), Sum{}
		for range rapid.IntRange(0, 20).Draw(t, "fragments") {
			p := text.Draw(t, "text")
			switch rapid.SampledFrom([]string{"alone", "stored", "behind"}).Draw(t, "kind") {
			case "alone":
				stream = Append(stream, nil, p)
			case "stored":
				stream = AppendStored(stream, p)
			case "behind": // what came right before, or less of it
				from := rapid.IntRange(0, len(plain)).Draw(t, "from")
				stream = Append(stream, plain[from:], p)
			}
			if got := inflate(t, stream[len(Header):]); !bytes.Equal(got, append(bytes.Clone(plain), p...)) {
				t.Fatal("a stream that is cut behind a fragment has another text")
			}
			plain, sum = append(plain, p...), sum.With(p)
		}
		r, err := gzip.NewReader(bytes.NewReader(sum.AppendTrailer(stream)))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, plain) {
			t.Fatalf("%d bytes became %d: %v", len(plain), len(got), err)
		}
	})
}

// inflate returns the text of fragments that do not end.
func inflate(t *rapid.T, fragments []byte) []byte {
	got, err := io.ReadAll(flate.NewReader(bytes.NewReader(fragments)))
	if err != nil && err != io.ErrUnexpectedEOF { //nolint:errorlint // as flate documents it
		t.Fatal(err)
	}
	return got
}

func TestSumsOfPartsMakeThatOfTheWhole(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := rapid.SliceOf(rapid.Byte()).Draw(t, "a"), rapid.SliceOf(rapid.Byte()).Draw(t, "b")
		whole := Sum{}.With(a).With(b)
		if whole.crc != crc32.ChecksumIEEE(append(bytes.Clone(a), b...)) {
			t.Fatal("not the CRC-32 of the whole")
		}
		if got := (Sum{}).With(a).Then(Sum{}.With(b)); got != whole {
			t.Fatalf("then: %+v, want %+v", got, whole)
		}
		if got, want := whole.Since(Sum{}.With(a)), (Sum{}).With(b); got != want {
			t.Fatalf("since: %+v, want %+v", got, want)
		}
	})
}

func TestNothingGrowsByMoreThanAStoredBlock(t *testing.T) {
	noise := make([]byte, 100_000)
	for i, x := 0, uint32(1); i < len(noise); i, x = i+1, x*1664525+1013904223 {
		noise[i] = byte(x >> 24)
	}
	for _, n := range []int{1, 100, 65_535, 65_536, len(noise)} {
		if got := len(Append(nil, nil, noise[:n])); got > n+15 {
			t.Errorf("%d bytes became %d", n, got)
		}
	}
}

func BenchmarkAppend(b *testing.B) {
	event := []byte(`id: k3x9a1.104711` + "\nevent: order:new\ndata: " + `{"topic":"orders/42","time":"2026-11-23T18:01:02.123456789Z","by":"waiter-7","data":{"id":"o-881","table":7,"status":"open","lines":[{"line":1,"product":"p-3","name":"Negroni","qty":2,"price":9.5},{"line":2,"product":"p-77","name":"Club Sandwich","qty":1,"price":12.0}],"total":31.0}}` + "\n\n")
	window := bytes.Repeat(bytes.ReplaceAll(event, []byte("42"), []byte("17")), Window/len(event)+1)
	for name, w := range map[string][]byte{"alone": nil, "behind": window} {
		b.Run(name, func(b *testing.B) {
			var dst []byte
			b.ReportAllocs()
			for b.Loop() {
				dst = Append(dst[:0], w, event)
			}
			b.ReportMetric(float64(len(event))/float64(len(dst)), "ratio")
		})
	}
}
