package roxy

import (
	"fmt"
	"strings"
)

// Bounds of a topic or pattern, docs/protocol.md §1.
const (
	MaxTopicBytes    = 256
	MaxTopicSegments = 16
)

// reservedSegment opens the topics that only the hub itself writes, such as roxy/dead-letters.
const reservedSegment = "roxy"

// Topic is a path such as orders/42. The zero Topic is none; every other one is valid.
type Topic struct{ path string }

// TopicError tells which segment of a topic or pattern is at fault.
type TopicError struct {
	Topic   string
	Segment int // counted from 1; 0 when the whole is at fault
	Reason  string
}

// Error returns one line such as `topic "a//b": segment 2: empty`.
func (e *TopicError) Error() string {
	if e.Segment == 0 {
		return fmt.Sprintf("topic %q: %s", clip(e.Topic), e.Reason)
	}
	return fmt.Sprintf("topic %q: segment %d: %s", clip(e.Topic), e.Segment, e.Reason)
}

// ParseTopic returns the topic named s, or a *TopicError. Grammar: docs/protocol.md §1.
func ParseTopic(s string) (Topic, error) {
	if err := checkPath(s, false); err != nil {
		return Topic{}, err
	}
	return Topic{s}, nil
}

// String returns the path; "" for the zero Topic.
func (t Topic) String() string { return t.path }

// Reserved reports whether only the hub may publish on t.
func (t Topic) Reserved() bool { return reserved(t.path) }

// indirect reports whether a segment of t is . or .., which whoever reads a URL resolves.
func (t Topic) indirect() bool {
	for segment := range strings.SplitSeq(t.path, "/") {
		if segment == "." || segment == ".." {
			return true
		}
	}
	return false
}

// Pattern names a set of topics: * stands for one segment, a last ** for zero or more. A pattern that begins with
// a wildcard does not reach the reserved topics. The zero Pattern is none; every other one is valid.
type Pattern struct{ path string }

// ParsePattern returns the pattern s, or a *TopicError. Grammar: docs/protocol.md §1.
func ParsePattern(s string) (Pattern, error) {
	if err := checkPath(s, true); err != nil {
		return Pattern{}, err
	}
	return Pattern{s}, nil
}

// String returns the pattern as it was written.
func (p Pattern) String() string { return p.path }

// Topic returns the one topic that p names, and whether p names exactly one (has no wildcard).
func (p Pattern) Topic() (Topic, bool) {
	if p.path == "" || strings.Contains(p.path, "*") {
		return Topic{}, false
	}
	return Topic(p), true
}

// Matches reports whether t is one of p's topics. It does not allocate.
func (p Pattern) Matches(t Topic) bool { return p.Contains(Pattern(t)) }

// Contains reports whether every topic of q is one of p's. It does not allocate.
func (p Pattern) Contains(q Pattern) bool {
	if p.path == "" || q.path == "" {
		return false
	}
	if p.path[0] == '*' && reserved(q.path) {
		return false
	}
	ps, qs := p.path, q.path
	if qs == "**" {
		qs = "*/**" // the same: a topic has a segment
	}
	for {
		pseg, prest, pmore := strings.Cut(ps, "/")
		if pseg == "**" {
			return true
		}
		qseg, qrest, qmore := strings.Cut(qs, "/")
		if qseg == "**" || pseg != "*" && pseg != qseg {
			return false
		}
		if !qmore {
			return !pmore || prest == "**"
		}
		if !pmore {
			return false
		}
		ps, qs = prest, qrest
	}
}

func reserved(path string) bool {
	rest, ok := strings.CutPrefix(path, reservedSegment)
	return ok && (rest == "" || rest[0] == '/')
}

func checkPath(s string, pattern bool) error {
	switch {
	case s == "":
		return &TopicError{Topic: s, Reason: "empty"}
	case len(s) > MaxTopicBytes:
		return &TopicError{Topic: s, Reason: fmt.Sprintf("%d bytes, at most %d", len(s), MaxTopicBytes)}
	}
	n := 0
	for seg := range strings.SplitSeq(s, "/") {
		n++
		last := n == 1+strings.Count(s, "/")
		switch {
		case n > MaxTopicSegments:
			return &TopicError{Topic: s, Segment: n, Reason: fmt.Sprintf("more than %d segments", MaxTopicSegments)}
		case seg == "":
			return &TopicError{Topic: s, Segment: n, Reason: "empty"}
		case pattern && (seg == "*" || seg == "**" && last):
		case pattern && seg == "**":
			return &TopicError{Topic: s, Segment: n, Reason: "** may only come last"}
		default:
			if i := strings.IndexFunc(seg, func(r rune) bool { return !topicRune(r) }); i >= 0 {
				return &TopicError{Topic: s, Segment: n, Reason: fmt.Sprintf("byte %q: a segment holds only A-Z a-z 0-9 _ . ~ : @ -", seg[i])}
			}
		}
	}
	return nil
}

func topicRune(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("_.~:@-", r)
}

// clip keeps an error about outside bytes short.
func clip(s string) string {
	if len(s) > 80 {
		return s[:80] + "…"
	}
	return s
}
