package client

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/roxyhub/roxy"
)

// Acknowledge says for a device of the caller's that it has everything up to delivered, unless that is zero, and that
// somebody confirms on it the critical events with these ids (Event.AckID). It returns where the device's cursor is by now,
// and what each confirmation did; both are durable. It is repeated as Publish is, which doubles nothing.
//
// A subscription with a Device says by itself what was delivered. This is for whoever handles events elsewhere.
func (c *Client) Acknowledge(ctx context.Context, device string, delivered roxy.Cursor, ids ...roxy.Cursor) (roxy.Cursor, []roxy.AckStatus, error) {
	do, err := acksCall(device, delivered, ids)
	if err != nil {
		return roxy.Cursor{}, nil, err
	}
	answer, err := c.do(ctx, do)
	if err != nil {
		return roxy.Cursor{}, nil, err
	}
	return decodeAcks(answer, len(ids))
}

// Confirm tells the hub that somebody has taken notice of a critical event that a subscription with a Device brought, and
// returns what that did. It is repeated as Publish is; after an error, it may be called again. Should the hub not hear of it
// and deliver the event once more, the subscription confirms by itself.
func (c *Client) Confirm(ctx context.Context, e Event) (roxy.AckStatus, error) {
	switch {
	case e.Ack == nil:
		return "", errors.New("client: the event is not critical: there is nothing to confirm")
	case e.to == nil:
		return "", errors.New("client: the event came by a subscription without a Device: nobody could confirm it there")
	}
	e.to.confirmed(e.AckID)
	_, statuses, err := c.Acknowledge(ctx, e.to.device, roxy.Cursor{}, e.AckID)
	if err != nil {
		return "", err
	}
	return statuses[0], nil
}

// acksCall returns the call of POST /v1/acks.
func acksCall(device string, delivered roxy.Cursor, ids []roxy.Cursor) (call, error) {
	said := struct {
		Device    string   `json:"device"`
		Delivered string   `json:"delivered,omitzero"`
		IDs       []string `json:"ids,omitzero"`
	}{Device: device}
	if delivered.Epoch != "" {
		said.Delivered = delivered.String()
	}
	for _, id := range ids {
		said.IDs = append(said.IDs, id.String())
	}
	body, err := json.Marshal(said)
	if err != nil { // a string that is not UTF-8
		return call{}, &roxy.Problem{Code: roxy.InvalidParameter, Member: "device", Detail: "the name cannot be written as JSON", Err: err}
	}
	return call{what: fmt.Sprintf("acknowledge for %s", device), method: http.MethodPost, path: "v1/acks", body: body}, nil
}

func decodeAcks(text []byte, n int) (roxy.Cursor, []roxy.AckStatus, error) {
	var answer struct {
		Cursor  string `json:"cursor"`
		Results []struct {
			Status roxy.AckStatus `json:"status"`
		} `json:"results"`
	}
	if json.Unmarshal(text, &answer) != nil {
		return roxy.Cursor{}, nil, errors.New("client: the answer to an acknowledgement is not as docs/protocol.md §7 says")
	}
	if len(answer.Results) != n {
		return roxy.Cursor{}, nil, fmt.Errorf("client: there are %d results of %d confirmations", len(answer.Results), n)
	}
	cursor, err := roxy.ParseCursor(answer.Cursor)
	if err != nil {
		return roxy.Cursor{}, nil, fmt.Errorf("client: answer to an acknowledgement: %w", err)
	}
	statuses := make([]roxy.AckStatus, n)
	for i := range statuses {
		statuses[i] = answer.Results[i].Status
	}
	return cursor, statuses, nil
}

// AckNews is what became of a critical event that the subscriber published: a device was given it, or confirmed it (Status,
// Device and User), or the event was settled (Settled and, when that is roxy.Unacked, Reason). It is not in the log: what
// came while there was no connection is had by Client.Receipts.
type AckNews struct {
	ID          roxy.Cursor // the event
	Correlation string
	Status      string // delivered, confirmed or late
	Device      string
	User        string // who owns Device
	Settled     roxy.Settlement
	Reason      roxy.UnackedReason
	Time        time.Time
}

func (AckNews) message() {}

// ackNews reads roxy:ack.
func (f *follower) ackNews(block frame) error {
	var told struct {
		ID          string             `json:"id"`
		Correlation string             `json:"correlation"`
		Status      string             `json:"status"`
		Device      string             `json:"device"`
		User        string             `json:"user"`
		Settled     roxy.Settlement    `json:"settled"`
		Reason      roxy.UnackedReason `json:"reason"`
		Time        time.Time          `json:"time"`
	}
	if err := decode(block, &told); err != nil {
		return err
	}
	id, err := roxy.ParseCursor(told.ID)
	if err != nil {
		return fmt.Errorf("client: roxy:ack: %w", err)
	}
	return f.give(AckNews{
		ID: id, Correlation: told.Correlation, Status: told.Status, Device: told.Device, User: told.User,
		Settled: told.Settled, Reason: told.Reason, Time: told.Time,
	})
}
