// Package transport is what the ways of subscribing have in common: the parameters of a subscription (docs/protocol.md
// §4). A transport is a folder below this one: an encoding of the hub's events (hub.Encoding), a way out (hub.Sink) and
// what the network asks for around them.
package transport

import (
	"fmt"
	"net/url"
	"time"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/hub"
)

// Options bounds what a subscription may ask for.
type Options struct {
	MaxTopics int           // patterns in one subscription; 0 is 64
	Heartbeat time.Duration // when the subscription does not say; 0 is 15 s
}

// Bounds of the parameter heartbeat.
const (
	minHeartbeat = time.Second
	maxHeartbeat = time.Minute
)

const maxTypes = 64

// earliest is the value of after that asks for all that is retained.
const earliest = "earliest"

// ParseSubscription returns the subscription that the query parameters ask for. lastEventID, when not empty, wins over
// the parameter after. The caller adds who asks and how it is answered. An error is a *roxy.Problem that names the
// parameter.
func ParseSubscription(query url.Values, lastEventID string, opts Options) (hub.Subscription, error) {
	sub := hub.Subscription{Heartbeat: opts.Heartbeat}
	if sub.Heartbeat == 0 {
		sub.Heartbeat = 15 * time.Second
	}
	for name, values := range query {
		var err error
		switch name {
		case "topic":
			sub.Patterns, err = parsePatterns(values, opts.MaxTopics)
		case "type":
			sub.Types, err = parseTypes(values)
		case "snapshot":
			err = single(name, values, func(s string) error {
				if s != "1" {
					return invalid(name, "snapshot %.20q: want 1, or leave it out", s)
				}
				sub.Snapshot = true
				return nil
			})
		case "device":
			err = single(name, values, func(s string) error {
				if err := roxy.CheckDevice(s); err != nil {
					return invalid(name, "%v", err)
				}
				sub.Device = s
				return nil
			})
		case "ticket": // the caller has read it
		case "after":
			err = single(name, values, func(s string) error { return resume(&sub, name, s) })
		case "heartbeat":
			err = single(name, values, func(s string) (err error) {
				sub.Heartbeat, err = parseHeartbeat(s)
				return err
			})
		default:
			err = invalid(name, "unknown parameter %q: known are topic, type, after, snapshot, device, heartbeat and ticket", name)
		}
		if err != nil {
			return hub.Subscription{}, err
		}
	}
	if len(sub.Patterns) == 0 {
		return hub.Subscription{}, invalid("topic", "topic is required: name at least one pattern, as in ?topic=orders/*")
	}
	if lastEventID != "" {
		if err := resume(&sub, "Last-Event-ID", lastEventID); err != nil {
			return hub.Subscription{}, err
		}
	}
	if sub.Snapshot && sub.Earliest {
		return hub.Subscription{}, invalid("snapshot", "a snapshot is the present and %q the past: ask for one of them", earliest)
	}
	return sub, nil
}

func parsePatterns(values []string, limit int) ([]roxy.Pattern, error) {
	if limit == 0 {
		limit = 64
	}
	if len(values) > limit {
		return nil, invalid("topic", "%d patterns, at most %d", len(values), limit)
	}
	patterns := make([]roxy.Pattern, 0, len(values))
	for _, s := range values {
		p, err := roxy.ParsePattern(s)
		if err != nil {
			return nil, &roxy.Problem{Code: roxy.InvalidTopic, Member: "topic", Detail: err.Error()}
		}
		patterns = append(patterns, p)
	}
	return patterns, nil
}

func parseTypes(values []string) ([]string, error) {
	if len(values) > maxTypes {
		return nil, invalid("type", "%d types, at most %d", len(values), maxTypes)
	}
	for _, s := range values {
		if err := roxy.CheckName(s); err != nil {
			return nil, invalid("type", "type: %v", err)
		}
	}
	return values, nil
}

func parseHeartbeat(s string) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	if err != nil || d < minHeartbeat || d > maxHeartbeat {
		return 0, invalid("heartbeat", "heartbeat %q: want a duration from %s to %s, such as 15s", s, minHeartbeat, maxHeartbeat)
	}
	return d, nil
}

// resume sets where sub begins.
func resume(sub *hub.Subscription, member, s string) error {
	sub.After, sub.Earliest = nil, s == earliest
	if sub.Earliest {
		return nil
	}
	c, err := roxy.ParseCursor(s)
	if err != nil {
		return invalid(member, "%s: %v", member, err)
	}
	sub.After = &c
	return nil
}

func single(name string, values []string, parse func(string) error) error {
	if len(values) != 1 {
		return invalid(name, "%s is given %d times", name, len(values))
	}
	return parse(values[0])
}

func invalid(member, format string, args ...any) error {
	return &roxy.Problem{Code: roxy.InvalidParameter, Member: member, Detail: fmt.Sprintf(format, args...)}
}
