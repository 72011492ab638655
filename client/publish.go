package client

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/roxyhub/roxy"
)

// Published is where one event stands.
type Published struct {
	ID     string      // the idempotency key, the caller's or the one that Publish made
	Cursor roxy.Cursor // zero for an ephemeral event
	// Duplicate says that the event stood there already: published earlier under the same ID, or by an attempt of this
	// very call whose answer was lost.
	Duplicate bool
}

// Publish sends events, all or none, in order, and returns when they are durable. It reads what a publisher sets on a
// roxy.Event (Topic, Type, Data, To, ID, TTL, Correlation, Except, Ephemeral, Urgent, Ack; the TraceParent of the
// first counts for all). Of an Ack, Within and Attempts may be zero: the hub's defaults apply. An event without an ID gets one, so that no repetition can double it.
//
// When the network fails or the hub answers 429, 502, 503 or 504, Publish tries again after a jittered wait, at least
// as long as the hub asked for, until Options.PublishAttempts are used up or ctx ends. It does not try again once the
// hub may have seen an ephemeral event, which nothing protects from doubling.
//
// An error from the hub is a *roxy.Problem. After any other error the outcome is unknown: whoever set the IDs can
// repeat the call with the same ones.
func (c *Client) Publish(ctx context.Context, events ...roxy.Event) ([]Published, error) {
	if len(events) == 0 {
		return nil, nil
	}
	body, fragile, err := encode(events)
	if err != nil {
		return nil, err
	}
	answer, err := c.do(ctx, call{
		what: fmt.Sprintf("publish %d events", len(events)), method: http.MethodPost, path: "v1/events", body: body,
		traceParent: events[0].TraceParent, fragile: fragile,
	})
	if err != nil {
		return nil, err
	}
	return decodeAnswer(answer, len(events))
}

func decodeAnswer(text []byte, n int) ([]Published, error) {
	var answer struct {
		Events []struct {
			ID        string `json:"id"`
			Cursor    string `json:"cursor"`
			Duplicate bool   `json:"duplicate"`
		} `json:"events"`
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		return nil, fmt.Errorf("client: answer to a publish: %w", err)
	}
	if len(answer.Events) != n {
		return nil, fmt.Errorf("client: answer to a publish of %d events tells of %d", n, len(answer.Events))
	}
	results := make([]Published, n)
	for i, e := range answer.Events {
		results[i] = Published{ID: e.ID, Duplicate: e.Duplicate}
		if e.Cursor == "" { // ephemeral
			continue
		}
		cursor, err := roxy.ParseCursor(e.Cursor)
		if err != nil {
			return nil, fmt.Errorf("client: answer to a publish: event %d: %w", i, err)
		}
		results[i].Cursor = cursor
	}
	return results, nil
}

// outgoing is an event as docs/protocol.md §3 spells it.
type outgoing struct {
	Topic       string         `json:"topic"`
	Type        string         `json:"type,omitzero"`
	Data        jsontext.Value `json:"data,omitzero"`
	To          audience       `json:"to,omitzero"`
	ID          string         `json:"id,omitzero"`
	TTL         string         `json:"ttl,omitzero"`
	Correlation string         `json:"correlation,omitzero"`
	Except      string         `json:"except,omitzero"`
	Ack         *ack           `json:"ack,omitzero"`
	Ephemeral   bool           `json:"ephemeral,omitzero"`
	Urgent      bool           `json:"urgent,omitzero"`
}

// ack says who must confirm; the hub has defaults for the rest.
type ack struct {
	By       roxy.AckBy `json:"by"`
	Within   string     `json:"within,omitzero"`
	Attempts int        `json:"attempts,omitzero"`
}

type audience struct {
	Roles []string `json:"roles,omitzero"`
	Users []string `json:"users,omitzero"`
}

// IsZero keeps an audience of everyone off the wire.
func (a audience) IsZero() bool { return len(a.Roles) == 0 && len(a.Users) == 0 }

// encode returns the body of a publish; fragile says that it holds an ephemeral event. The keys are made here, once,
// because every attempt has to carry the same.
func encode(events []roxy.Event) (body []byte, fragile bool, err error) {
	out := make([]outgoing, len(events))
	for i := range events {
		e := &events[i]
		if !jsontext.Value(e.Data).IsValid() && e.Data != nil {
			return nil, false, &roxy.Problem{Code: roxy.InvalidEvent, Member: member(i, len(events), "data"), Detail: "data is not JSON"}
		}
		out[i] = outgoing{
			Topic: e.Topic.String(), Type: e.Type, Data: e.Data, To: audience{e.To.Roles, e.To.Users}, ID: e.ID,
			Correlation: e.Correlation, Except: e.Except, Ephemeral: e.Ephemeral, Urgent: e.Urgent,
		}
		if e.TTL != 0 {
			out[i].TTL = e.TTL.String()
		}
		if e.Ack != nil {
			out[i].Ack = &ack{By: e.Ack.By, Attempts: e.Ack.Attempts}
			if e.Ack.Within != 0 {
				out[i].Ack.Within = e.Ack.Within.String()
			}
		}
		if e.ID == "" && !e.Ephemeral {
			out[i].ID = rand.Text()
		}
		fragile = fragile || e.Ephemeral
	}
	if len(out) == 1 {
		body, err = json.Marshal(out[0])
	} else {
		body, err = json.Marshal(out)
	}
	if err != nil { // a string that is not UTF-8
		return nil, false, &roxy.Problem{Code: roxy.InvalidEvent, Detail: "the events cannot be written as JSON", Err: err}
	}
	return body, fragile, nil
}

func member(i, n int, name string) string {
	if n == 1 {
		return name
	}
	return fmt.Sprintf("[%d].%s", i, name)
}
