package client

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/roxyhub/roxy"
)

// Mutate changes entities, all or none, in order, and returns when that is durable. Data may be JSON in any form; Guard
// may be "". A mutation without an ID gets one, so that no repetition can double it; the TraceParent of the first counts
// for all. It is repeated as Publish is.
//
// A refusal is a *roxy.Problem: of a guard with its Conflict (which version is there now, and which fields clash), of a
// schema with its Violations; of several mutations Member begins with the index of the one at fault, as in [3].base. The
// results of what was committed have no Created, which the hub does not tell here. After any other error the outcome is
// unknown: whoever set the IDs can repeat the call with the same ones, ask for their Results, or Cancel them.
//
// Present goes with a put alone in HTTP's own calls; here it is refused. A patch and a delete ask for an entity anyway.
func (c *Client) Mutate(ctx context.Context, mutations ...roxy.Mutation) ([]roxy.MutationResult, error) {
	if len(mutations) == 0 {
		return nil, nil
	}
	body, err := encodeMutations(mutations)
	if err != nil {
		return nil, err
	}
	answer, err := c.do(ctx, call{
		what: fmt.Sprintf("commit %d mutations", len(mutations)), method: http.MethodPost, path: "v1/mutations", body: body,
		traceParent: mutations[0].TraceParent,
	})
	if err != nil {
		return nil, err
	}
	results, err := decodeResults(answer, len(mutations))
	for i := range results {
		results[i].Outcome = roxy.Committed // the answer tells of nothing else
	}
	return results, err
}

// Results returns what became of the caller's mutations with these ids, one for each, as far as the hub remembers: it does
// for 24 h. This is how to learn what an answer that never came would have said.
func (c *Client) Results(ctx context.Context, ids ...string) ([]roxy.MutationResult, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	body, err := json.Marshal(struct {
		IDs []string `json:"ids"`
	}{ids})
	if err != nil {
		return nil, &roxy.Problem{Code: roxy.InvalidParameter, Member: "ids", Detail: "the ids cannot be written as JSON", Err: err}
	}
	answer, err := c.do(ctx, call{what: fmt.Sprintf("ask for %d results", len(ids)), method: http.MethodPost, path: "v1/mutations/status", body: body})
	if err != nil {
		return nil, err
	}
	return decodeResults(answer, len(ids))
}

// Cancel makes sure that the caller's mutation with this id never commits if the hub has not seen it yet; the result is
// then Cancelled, and otherwise what became of it before.
func (c *Client) Cancel(ctx context.Context, id string) (roxy.MutationResult, error) {
	answer, err := c.do(ctx, call{what: "cancel a mutation", method: http.MethodDelete, path: "v1/mutations/" + url.PathEscape(id)})
	if err != nil {
		return roxy.MutationResult{}, err
	}
	var result incomingResult
	if err := json.Unmarshal(answer, &result); err != nil {
		return roxy.MutationResult{}, errors.New("client: the answer to a cancellation is not as docs/protocol.md §6 says")
	}
	return result.result()
}

// outgoingMutation is a mutation as docs/protocol.md §6 spells it.
type outgoingMutation struct {
	ID          string         `json:"id"`
	Op          roxy.Op        `json:"op"`
	Topic       string         `json:"topic"`
	Data        jsontext.Value `json:"data,omitzero"`
	Patch       jsontext.Value `json:"patch,omitzero"`
	Guard       roxy.Guard     `json:"guard,omitzero"`
	Base        *uint64        `json:"base,omitzero"` // 0 says that there was none
	Device      string         `json:"device,omitzero"`
	Seq         uint64         `json:"seq,omitzero"`
	Type        string         `json:"type,omitzero"`
	Correlation string         `json:"correlation,omitzero"`
}

// encodeMutations returns the body of a call. The IDs are made here, once, because every attempt has to carry the same.
func encodeMutations(mutations []roxy.Mutation) ([]byte, error) {
	out := make([]outgoingMutation, len(mutations))
	for i := range mutations {
		m, o := &mutations[i], &out[i]
		fault := func(name, detail string) error {
			return &roxy.Problem{Code: roxy.InvalidMutation, Member: member(i, len(mutations), name), Detail: detail}
		}
		*o = outgoingMutation{
			ID: m.ID, Op: m.Op, Topic: m.Topic.String(), Guard: m.Guard, Device: m.Device, Seq: m.Seq, Type: m.Type, Correlation: m.Correlation,
		}
		content, name := &o.Data, "data"
		if m.Op == roxy.Patch {
			content, name = &o.Patch, "patch"
		}
		*content = m.Data
		switch {
		case m.Data != nil && !jsontext.Value(m.Data).IsValid():
			return nil, fault(name, name+" is not JSON")
		case m.Present:
			return nil, fault("guard", "POST /v1/mutations has no word for Present: guard with the version that you saw")
		case m.Guard == roxy.GuardVersion, m.Guard == roxy.GuardFields:
			o.Base = &m.Base
		case m.Base != 0:
			return nil, fault("base", "base says nothing without a guard: give guard version or fields")
		}
		if o.ID == "" {
			o.ID = rand.Text()
		}
	}
	var body []byte
	var err error
	if len(out) == 1 {
		body, err = json.Marshal(out[0])
	} else {
		body, err = json.Marshal(out)
	}
	if err != nil { // a string that is not UTF-8
		return nil, &roxy.Problem{Code: roxy.InvalidMutation, Detail: "the mutations cannot be written as JSON", Err: err}
	}
	return body, nil
}

// incomingResult is what became of a mutation, as answers and receipts tell it.
type incomingResult struct {
	ID        string         `json:"id"`
	Status    roxy.Outcome   `json:"status"`
	Topic     string         `json:"topic"`
	Version   uint64         `json:"version"`
	Cursor    string         `json:"cursor"`
	Duplicate bool           `json:"duplicate"`
	Problem   jsontext.Value `json:"problem"`
}

func (r *incomingResult) result() (out roxy.MutationResult, err error) {
	out = roxy.MutationResult{ID: r.ID, Outcome: r.Status, Version: r.Version, Duplicate: r.Duplicate}
	if r.Topic != "" { // nobody knows that of an unknown one
		if out.Topic, err = roxy.ParseTopic(r.Topic); err != nil {
			return out, fmt.Errorf("client: result of a mutation: %w", err)
		}
	}
	if r.Cursor != "" {
		if out.Cursor, err = roxy.ParseCursor(r.Cursor); err != nil {
			return out, fmt.Errorf("client: result of a mutation: %w", err)
		}
	}
	if r.Problem != nil {
		if out.Problem = decodeProblem(r.Problem); out.Problem == nil {
			return out, errors.New("client: result of a mutation: its problem is none")
		}
	}
	return out, nil
}

func decodeResults(text []byte, n int) ([]roxy.MutationResult, error) {
	var answer struct {
		Results []incomingResult `json:"results"`
	}
	if json.Unmarshal(text, &answer) != nil {
		return nil, errors.New("client: the results of mutations are not as docs/protocol.md §6 says")
	}
	if len(answer.Results) != n {
		return nil, fmt.Errorf("client: there are %d results of %d mutations", len(answer.Results), n)
	}
	results := make([]roxy.MutationResult, n)
	for i := range results {
		var err error
		if results[i], err = answer.Results[i].result(); err != nil {
			return nil, err
		}
	}
	return results, nil
}
