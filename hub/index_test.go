package hub

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/roxyhub/roxy"
)

func pattern(t interface {
	Helper()
	Fatal(...any)
}, s string,
) roxy.Pattern {
	t.Helper()
	p, err := roxy.ParsePattern(s)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestIndexFindsExactlyTheClassesWhosePatternsMatch(t *testing.T) {
	segment := rapid.SampledFrom([]string{"a", "b", "roxy", "*"})
	plain := rapid.SampledFrom([]string{"a", "b", "c", "roxy"})
	rapid.Check(t, func(t *rapid.T) {
		var x topicIndex
		classes := map[*class]roxy.Pattern{}
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			if len(classes) > 0 && rapid.IntRange(0, 3).Draw(t, "remove") == 0 {
				for c, p := range classes {
					x.remove(p, c)
					delete(classes, c)
					break
				}
				continue
			}
			segs := rapid.SliceOfN(segment, 1, 4).Draw(t, "pattern")
			if rapid.Bool().Draw(t, "open") {
				segs = append(segs, "**")
			}
			c, p := &class{}, pattern(t, strings.Join(segs, "/"))
			classes[c] = p
			x.insert(p, c)
		}
		topic, err := roxy.ParseTopic(strings.Join(rapid.SliceOfN(plain, 1, 5).Draw(t, "topic"), "/"))
		if err != nil {
			t.Fatal(err)
		}
		found := map[*class]int{}
		x.match(topic, func(c *class) { found[c]++ })
		for c, p := range classes {
			want := 0
			if p.Matches(topic) {
				want = 1
			}
			if found[c] != want {
				t.Fatalf("pattern %s, topic %s: found %d times, want %d", p, topic, found[c], want)
			}
			delete(found, c)
		}
		if len(found) > 0 {
			t.Fatalf("%d classes found that were removed", len(found))
		}
		for c, p := range classes {
			x.remove(p, c)
		}
		if r := x.root; len(r.segments) > 0 || r.any != nil || len(r.here)+len(r.below) > 0 {
			t.Fatal("something is left of an empty index")
		}
	})
}

// The cost of a match must not grow with the patterns that cannot match.
func BenchmarkIndexMatch(b *testing.B) {
	for _, own := range []int{50, 5_000, 500_000} {
		b.Run(fmt.Sprintf("topics=%d", own), func(b *testing.B) {
			var x topicIndex
			for i := range own {
				x.insert(pattern(b, fmt.Sprintf("own/%d", i)), &class{})
			}
			x.insert(pattern(b, "own/*"), &class{})
			topics := make([]roxy.Topic, 1000)
			for i := range topics {
				topics[i], _ = pattern(b, fmt.Sprintf("own/%d", i*own/len(topics))).Topic()
			}
			b.ReportAllocs()
			found := 0
			for i := 0; b.Loop(); i++ {
				x.match(topics[i%len(topics)], func(*class) { found++ })
			}
			if found < b.N {
				b.Fatal("nothing found")
			}
		})
	}
}

func TestEnvelopeEscapesWhatNeedsIt(t *testing.T) {
	topic, _ := pattern(t, "orders/7").Topic()
	for want, e := range map[string]roxy.Event{
		`{"topic":"orders/7","time":"0001-01-01T00:00:00Z","data":null}`:                                 {},
		`{"topic":"orders/7","time":"0001-01-01T00:00:00Z","by":"u\"1\\","data":{"a":1}}`:                {By: `u"1\`, Data: []byte(`{"a":1}`)},
		`{"topic":"orders/7","time":"0001-01-01T00:00:00Z","by":"é","correlation":"c","data":[]}`:        {By: "é", Correlation: "c", Data: []byte(`[]`)},
		`{"topic":"orders/7","time":"0001-01-01T00:00:00Z","traceparent":"00-01-02-01","data":"\u003c"}`: {TraceParent: "00-01-02-01", Data: []byte(`"\u003c"`)},
		`{"topic":"orders/7","time":"0001-01-01T00:00:00Z","by":"line\u2028separator","data":1e400}`:     {By: "line\u2028separator", Data: []byte(`1e400`)},
	} {
		e.Topic = topic
		if got := string(appendEnvelope(nil, &e, roxy.Cursor{}, nil)); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

func TestClassKeyIgnoresTheOrderOfPatterns(t *testing.T) {
	a := Subscription{Patterns: []roxy.Pattern{pattern(t, "b"), pattern(t, "a")}, Encoding: canaryEncoding{}}
	b := Subscription{Patterns: []roxy.Pattern{pattern(t, "a"), pattern(t, "b")}, Encoding: canaryEncoding{}}
	slices.SortFunc(a.Patterns, comparePatterns)
	if classKey(&a, &views{}) != classKey(&b, &views{}) {
		t.Error("two classes for one set of patterns")
	}
	b.Identity.Roles = []string{"waiter"}
	if classKey(&a, &views{}) == classKey(&b, &views{}) {
		t.Error("one class for two sets of roles")
	}
}
