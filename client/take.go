package client

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/document"
)

// take yields what one block of the stream holds, unless it was yielded before. An error ends the connection.
func (f *follower) take(block frame, link *watched) error {
	var at roxy.Cursor
	if block.hasID {
		var err error
		if at, err = roxy.ParseCursor(block.id); err != nil {
			return fmt.Errorf("client: the hub sent a bad id: %w", err)
		}
	}
	switch {
	case block.event == "roxy:hello":
		return f.hello(block, at, link)
	case block.event == "roxy:reset":
		return f.reset(block)
	case block.event == "roxy:entity":
		return f.entity(block)
	case block.event == "roxy:receipt":
		return f.receipt(block)
	case block.event == "roxy:ack":
		return f.ackNews(block)
	case block.event == "roxy:presence":
		return f.presence(block)
	case block.event == "roxy:live":
		return f.live(block, at)
	case block.event == "roxy:bye":
		return f.bye(block)
	case block.data == nil, strings.HasPrefix(block.event, "roxy:"): // a heartbeat, an id alone, what a newer hub knows
		_, err := f.advance(at)
		f.passed(acksIdle)
		return err
	default:
		return f.event(block, at)
	}
}

// advance moves the position forward and reports whether it did; a repeat does not.
func (f *follower) advance(to roxy.Cursor) (bool, error) {
	switch {
	case to.Epoch == "", to.Epoch == f.position.Epoch && to.Offset <= f.position.Offset:
		return false, nil
	case f.position.Epoch != "" && to.Epoch != f.position.Epoch:
		return false, fmt.Errorf("client: the hub went from %s to %s without a reset", f.position, to)
	}
	f.position = to
	return true, nil
}

// hello is first on every stream. Its cursor counts only when nothing is known yet: on a resumed stream a reset may
// follow, and whoever had moved on already would never hear of it if the link is cut in between. It has none when a
// snapshot follows, which has no place to come back to before its end.
func (f *follower) hello(block frame, at roxy.Cursor, link *watched) error {
	var hello struct {
		Connection string `json:"connection"`
		Cursor     string `json:"cursor"`
		View       string `json:"view"`
		Heartbeat  string `json:"heartbeat"`
	}
	if err := decode(block, &hello); err != nil {
		return err
	}
	heartbeat, err := time.ParseDuration(hello.Heartbeat)
	if err != nil {
		return fmt.Errorf("client: roxy:hello: heartbeat: %w", err)
	}
	f.roll = roll{} // a list that was cut is void
	link.silence = 2*min(max(heartbeat, time.Second), time.Minute) + 2*time.Second
	changed := f.view != "" && hello.View != "" && hello.View != f.view
	f.view = cmp.Or(hello.View, f.view)
	if from, err := roxy.ParseCursor(hello.Cursor); err == nil && f.acks != nil {
		f.acks.begins(from)
	}
	if f.position.Epoch == "" {
		f.position, changed = at, false
	}
	f.tell(State{Phase: Connected, Connection: hello.Connection, View: hello.View})
	switch {
	case !f.sub.Snapshot:
		return nil
	case changed: // what was given before is not what a patch of this stream is for
		f.position = roxy.Cursor{}
		if err := f.give(Reset{Reason: "view"}); err != nil {
			return err
		}
		return &lostError{err: errors.New("client: the roles see more or less of entities than before: a new snapshot is needed")}
	case hello.Cursor == "":
		return f.give(Snapshot{})
	default:
		return nil
	}
}

func (f *follower) reset(block frame) error {
	var reset struct {
		Reason string `json:"reason"`
		Cursor string `json:"cursor"`
	}
	if err := decode(block, &reset); err != nil {
		return err
	}
	cursor, err := roxy.ParseCursor(reset.Cursor)
	if err != nil {
		return fmt.Errorf("client: roxy:reset: %w", err)
	}
	if reset.Reason == "epoch" {
		f.high = roxy.Cursor{}
	}
	if !f.sub.Snapshot {
		f.position = cursor
		return f.give(Reset{Reason: reset.Reason, Cursor: cursor})
	}
	f.position = roxy.Cursor{} // to be cut off in the snapshot that follows means to begin anew
	if err := f.give(Reset{Reason: reset.Reason}); err != nil {
		return err
	}
	return f.give(Snapshot{})
}

func (f *follower) entity(block frame) error {
	e, _, err := decodeEntity(block.data)
	if err != nil {
		return err
	}
	return f.give(Entity{e})
}

func (f *follower) receipt(block frame) error {
	var receipt incomingResult
	if err := decode(block, &receipt); err != nil {
		return err
	}
	result, err := receipt.result()
	if err != nil {
		return err
	}
	return f.give(Receipt{result})
}

func (f *follower) live(block frame, at roxy.Cursor) error {
	var live struct {
		Replayed uint64 `json:"replayed"`
		Entities uint64 `json:"entities"`
	}
	if err := decode(block, &live); err != nil {
		return err
	}
	if _, err := f.advance(at); err != nil {
		return err
	}
	f.expired = false
	return f.give(Live{Cursor: f.position, Replayed: live.Replayed, Entities: live.Entities})
}

func (f *follower) bye(block frame) error {
	var bye struct {
		Reason string `json:"reason"`
		Retry  int64  `json:"retry"` // ms
	}
	if err := decode(block, &bye); err != nil {
		return err
	}
	if bye.Reason == "replaced" && f.sub.Device != "" {
		return ErrReplaced
	}
	if bye.Reason == string(roxy.TokenExpired) {
		if f.expired {
			return &roxy.Problem{Code: roxy.TokenExpired, Detail: "the hub took the stream for expired twice in a row; Options.Token has to return a fresh token"}
		}
		f.expired = true
		return &lostError{err: &roxy.Problem{Code: roxy.TokenExpired, Detail: "the hub closed the stream"}}
	}
	asked := time.Duration(min(max(bye.Retry, 0), maxHint.Milliseconds())) * time.Millisecond
	return &lostError{err: fmt.Errorf("client: the hub closed the stream: %s", bye.Reason), asked: asked}
}

func (f *follower) event(block frame, at roxy.Cursor) error {
	if at.Epoch != "" {
		if fresh, err := f.advance(at); err != nil || !fresh {
			return err
		}
		if !beyond(at, f.high) {
			return nil
		}
		f.high = at
	}
	var envelope struct {
		Topic       string         `json:"topic"`
		Time        time.Time      `json:"time"`
		By          string         `json:"by"`
		Correlation string         `json:"correlation"`
		TraceParent string         `json:"traceparent"`
		Data        jsontext.Value `json:"data"`
		Op          roxy.Op        `json:"op"`
		Version     uint64         `json:"version"`
		Patch       jsontext.Value `json:"patch"`
		Mutation    string         `json:"mutation"`
		Ack         struct {
			ID string     `json:"id"`
			By roxy.AckBy `json:"by"`
		} `json:"ack"`
		Attempt int `json:"attempt"`
	}
	if err := decode(block, &envelope); err != nil {
		return err
	}
	topic, err := roxy.ParseTopic(envelope.Topic)
	if err != nil {
		return fmt.Errorf("client: event %s: %w", block.id, err)
	}
	if block.event == "" {
		block.event = roxy.DefaultType
	}
	e := Event{Cursor: at, Event: roxy.Event{
		Topic: topic, Type: block.event, Data: envelope.Data, Correlation: envelope.Correlation, TraceParent: envelope.TraceParent,
		Time: envelope.Time, By: envelope.By, Offset: at.Offset, Ephemeral: at.Epoch == "",
	}}
	if envelope.Ack.ID != "" {
		if e.AckID, err = roxy.ParseCursor(envelope.Ack.ID); err != nil {
			return fmt.Errorf("client: event %s: ack: %w", block.id, err)
		}
		e.Ack, e.Attempt, e.Offset, e.Ephemeral, e.to = &roxy.Ack{By: envelope.Ack.By}, envelope.Attempt, e.AckID.Offset, false, f.acks
		if f.acks != nil && f.acks.has(e.AckID) {
			f.passed(acksWait)
			return nil
		}
	}
	if envelope.Op != "" { // of an entity's commit
		e.Change = &roxy.Change{Op: envelope.Op, Version: envelope.Version, Mutation: envelope.Mutation}
		if e.Change.Patch, err = patchOf(envelope.Patch); err != nil {
			return fmt.Errorf("client: event %s: %w", block.id, err)
		}
	}
	return f.give(e)
}

// patchOf returns the canonical form of a patch; nil for none and for one that changes nothing.
func patchOf(raw jsontext.Value) ([]byte, error) {
	if raw == nil {
		return nil, nil
	}
	if raw.Kind() != '{' {
		return nil, errors.New("the patch is no object")
	}
	patch, err := document.Patch(raw)
	if err != nil || document.Count(patch) == 0 {
		return nil, err
	}
	return patch, nil
}

func (f *follower) give(m Message) error {
	if !f.yield(m, nil) {
		return errStopped
	}
	if f.acks != nil {
		f.acks.gave(m, f.position)
	}
	return nil
}

// passed takes note that there was nothing to yield up to the position.
func (f *follower) passed(within time.Duration) {
	if f.acks != nil {
		f.acks.passed(f.position, within)
	}
}

// decode reads a block's data. What cannot be read ends the subscription: it would come again after every reconnection,
// and leaving it out would be a hole. The JSON reader's error may quote the payload, so it is not told.
func decode(block frame, into any) error {
	if json.Unmarshal(block.data, into) == nil {
		return nil
	}
	name := block.event
	if name == "" {
		name = roxy.DefaultType
	}
	return errors.New("client: the hub sent a " + name + " that is not as docs/protocol.md §4 says")
}
