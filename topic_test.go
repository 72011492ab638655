package roxy

import (
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestParseTopicNamesTheBadSegment(t *testing.T) {
	for name, tt := range map[string]struct {
		in    string
		fault int // the segment; 0 for the whole, -1 for none
	}{
		"plain":                     {"orders/7", -1},
		"every character":           {"AZaz09_.~:@-", -1},
		"sixteen segments":          {strings.Repeat("a/", 15) + "a", -1},
		"256 bytes":                 {strings.Repeat("a", 256), -1},
		"reserved, but well formed": {"roxy/dead-letters", -1},
		"empty":                     {"", 0},
		"257 bytes":                 {strings.Repeat("a", 257), 0},
		"empty in the middle":       {"orders//7", 2},
		"empty first":               {"/orders", 1},
		"empty last":                {"orders/", 2},
		"seventeen segments":        {strings.Repeat("a/", 16) + "a", 17},
		"a wildcard":                {"orders/*", 2},
		"a space":                   {"orders/a b", 2},
		"beyond ASCII":              {"commandes/été", 2},
		"a line break":              {"a/b\nc", 2},
	} {
		t.Run(name, func(t *testing.T) {
			topic, err := ParseTopic(tt.in)
			var te *TopicError
			switch {
			case tt.fault < 0 && (err != nil || topic.String() != tt.in):
				t.Errorf("%q, %v", topic, err)
			case tt.fault >= 0 && (!errors.As(err, &te) || te.Segment != tt.fault):
				t.Errorf("got %v, want the fault in segment %d", err, tt.fault)
			}
		})
	}
}

func TestPatternMatches(t *testing.T) {
	for _, tt := range []struct {
		pattern, topic string
		want           bool
	}{
		{"orders/7", "orders/7", true},
		{"orders/7", "orders/70", false},
		{"orders/*", "orders/7", true},
		{"orders/*", "orders", false},
		{"orders/*", "orders/7/items", false},
		{"orders/**", "orders", true},
		{"orders/**", "orders/7/items/1", true},
		{"orders/**", "order", false},
		{"*/7", "orders/7", true},
		{"*", "orders", true},
		{"**", "orders/7", true},
		{"*/*/items", "orders/7/items", true},
		{"*/**", "orders", true},
		{"**", "roxy/dead-letters", false},
		{"*/dead-letters", "roxy/dead-letters", false},
		{"roxy/**", "roxy/dead-letters", true},
		{"**", "roxyish", true},
	} {
		p, err := ParsePattern(tt.pattern)
		if err != nil {
			t.Fatal(err)
		}
		topic, err := ParseTopic(tt.topic)
		if err != nil {
			t.Fatal(err)
		}
		if got := p.Matches(topic); got != tt.want {
			t.Errorf("%s matches %s: %t, want %t", p, topic, got, tt.want)
		}
	}
}

func TestParsePatternRefusesMisplacedWildcards(t *testing.T) {
	for _, s := range []string{"**/a", "a/**/b", "a*", "a/b*", "***", "", "a//b"} {
		if p, err := ParsePattern(s); err == nil {
			t.Errorf("%q was accepted as %s", s, p)
		}
	}
}

// A pattern contains another exactly when no topic tells them apart, looked for among all short topics.
func TestContainsAgreesWithMatching(t *testing.T) {
	segment := rapid.SampledFrom([]string{"a", "b", "roxy", "*"})
	pattern := rapid.Custom(func(t *rapid.T) Pattern {
		segs := rapid.SliceOfN(segment, 0, 3).Draw(t, "segments")
		if len(segs) == 0 || rapid.Bool().Draw(t, "open") {
			segs = append(segs, "**")
		}
		p, err := ParsePattern(strings.Join(segs, "/"))
		if err != nil {
			t.Fatal(err)
		}
		return p
	})
	var topics []Topic
	var spell func(prefix string, depth int)
	spell = func(prefix string, depth int) {
		for _, seg := range []string{"a", "b", "roxy", "other"} {
			topic, err := ParseTopic(prefix + seg)
			if err != nil {
				t.Fatal(err)
			}
			topics = append(topics, topic)
			if depth > 1 {
				spell(prefix+seg+"/", depth-1)
			}
		}
	}
	spell("", 5)
	rapid.Check(t, func(t *rapid.T) {
		p, q := pattern.Draw(t, "p"), pattern.Draw(t, "q")
		inside := true
		for _, topic := range topics {
			if q.Matches(topic) && !p.Matches(topic) {
				inside = false
			}
		}
		if got := p.Contains(q); got != inside {
			t.Fatalf("%s contains %s: %t, want %t", p, q, got, inside)
		}
	})
}

func FuzzParseTopic(f *testing.F) {
	for _, s := range []string{"orders/7", "a//b", "*", "roxy/x", "a/**", strings.Repeat("a/", 20)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		topic, err := ParseTopic(s)
		if err != nil {
			return
		}
		if topic.String() != s || len(s) > MaxTopicBytes || strings.ContainsAny(s, "*\n\r\x00 \"\\") || strings.Count(s, "/") >= MaxTopicSegments {
			t.Fatalf("accepted %q", s)
		}
		p, err := ParsePattern(s)
		if err != nil || !p.Matches(topic) {
			t.Fatalf("topic %q is no pattern of itself: %v", s, err)
		}
	})
}

func FuzzParsePattern(f *testing.F) {
	for _, s := range []string{"orders/*", "**", "a/**/b", "roxy/**", "*/*"} {
		f.Add(s, "a/**")
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		p, err := ParsePattern(a)
		if err != nil {
			return
		}
		if !p.Contains(p) {
			t.Fatalf("%s does not contain itself", p)
		}
		if q, err := ParsePattern(b); err == nil && p.Contains(q) && q.Contains(p) && p != q && p.String() != "**" && q.String() != "**" {
			t.Fatalf("%s and %s contain each other", p, q)
		}
	})
}

func BenchmarkPatternMatches(b *testing.B) {
	p, _ := ParsePattern("orders/*/items/**")
	topic, _ := ParseTopic("orders/4711/items/3")
	b.ReportAllocs()
	for b.Loop() {
		if !p.Matches(topic) {
			b.Fatal("no match")
		}
	}
}
