// Package bar is the evening that the examples play: what is said in a bar of 20 tables between 18:00 and 02:00, by
// whom and when. The folder evening generates it, the folder play says it to a hub, and evening.ndjson holds it.
package bar

import (
	"bufio"
	"fmt"
	"io"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/roxyhub/roxy"
)

// Turn is one thing that somebody says: a line of evening.ndjson.
type Turn struct {
	At    time.Duration // since the bar opened
	As    string        // the user who publishes
	Roles []string      // that user's
	Event roxy.Event
}

// line is a Turn as the file spells it; its event is the body of POST /v1/events (docs/protocol.md §3).
type line struct {
	At    string   `json:"at"`
	As    string   `json:"as"`
	Roles []string `json:"roles"`
	Event event    `json:"event"`
}

type event struct {
	Topic       string         `json:"topic"`
	Type        string         `json:"type"`
	ID          string         `json:"id"`
	Correlation string         `json:"correlation,omitzero"`
	To          audience       `json:"to,omitzero"`
	TTL         string         `json:"ttl,omitzero"`
	Urgent      bool           `json:"urgent,omitzero"`
	Data        jsontext.Value `json:"data"`
}

type audience struct {
	Roles []string `json:"roles,omitzero"`
	Users []string `json:"users,omitzero"`
}

// IsZero keeps an audience of everyone out of the file.
func (a audience) IsZero() bool { return len(a.Roles) == 0 && len(a.Users) == 0 }

// Write writes t as one line.
func (t Turn) Write(w io.Writer) error {
	e := t.Event
	out := line{At: clock(t.At), As: t.As, Roles: t.Roles, Event: event{
		Topic: e.Topic.String(), Type: e.Type, ID: e.ID, Correlation: e.Correlation,
		To: audience{e.To.Roles, e.To.Users}, Urgent: e.Urgent, Data: e.Data,
	}}
	if e.TTL > 0 {
		out.Event.TTL = e.TTL.String()
	}
	text, err := json.Marshal(out)
	if err != nil {
		return fmt.Errorf("turn %s: %w", e.ID, err)
	}
	_, err = w.Write(append(text, '\n'))
	return err
}

// Read returns the turns that r holds, one a line, in their order.
func Read(r io.Reader) ([]Turn, error) {
	var turns []Turn
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		t, err := parse(lines.Bytes())
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", len(turns)+1, err)
		}
		if n := len(turns); n > 0 && t.At < turns[n-1].At {
			return nil, fmt.Errorf("line %d: %s is before the line above", n+1, clock(t.At))
		}
		turns = append(turns, t)
	}
	return turns, lines.Err()
}

func parse(text []byte) (Turn, error) {
	var l line
	if err := json.Unmarshal(text, &l, json.RejectUnknownMembers(true)); err != nil {
		return Turn{}, err
	}
	at, err := parseClock(l.At)
	if err != nil {
		return Turn{}, err
	}
	topic, err := roxy.ParseTopic(l.Event.Topic)
	if err != nil {
		return Turn{}, err
	}
	to, err := roxy.NewAudience(l.Event.To.Roles, l.Event.To.Users)
	if err != nil {
		return Turn{}, fmt.Errorf("to: %w", err)
	}
	t := Turn{At: at, As: l.As, Roles: l.Roles, Event: roxy.Event{
		Topic: topic, Type: l.Event.Type, ID: l.Event.ID, Correlation: l.Event.Correlation, To: to, Urgent: l.Event.Urgent, Data: l.Event.Data,
	}}
	if l.Event.TTL != "" {
		if t.Event.TTL, err = time.ParseDuration(l.Event.TTL); err != nil {
			return Turn{}, fmt.Errorf("ttl: %w", err)
		}
	}
	return t, nil
}

// clock writes d as hours, minutes, seconds and milliseconds: 00:42:07.250.
func clock(d time.Duration) string { return time.Time{}.Add(d).Format("15:04:05.000") }

func parseClock(s string) (time.Duration, error) {
	at, err := time.Parse("15:04:05.000", s)
	if err != nil {
		return 0, fmt.Errorf("at %q: want a time since the opening, such as 00:42:07.250", s)
	}
	midnight := time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC)
	return at.Sub(midnight), nil
}
