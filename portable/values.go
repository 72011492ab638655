package portable

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/document"
	"github.com/roxyhub/roxy/engine"
)

func textOfEvent(e *roxy.Event) *eventText {
	t := &eventText{
		Offset: e.Offset, Time: e.Time.UTC(), Topic: e.Topic.String(), Type: e.Type, By: e.By, ID: e.ID, Correlation: e.Correlation,
		Except: e.Except, TraceParent: e.TraceParent, Urgent: e.Urgent, Data: e.Data,
	}
	if !e.To.Everyone() {
		t.To = &audienceText{e.To.Roles, e.To.Users}
	}
	if e.TTL != 0 {
		t.TTL = e.TTL.String()
	}
	if c := e.Change; c != nil {
		t.Change = &changeText{c.Op, c.Version, c.Mutation, c.Patch, c.Undo}
	}
	return t
}

func (t *eventText) event() (*roxy.Event, error) {
	topic, err := roxy.ParseTopic(t.Topic)
	if err != nil {
		return nil, fmt.Errorf("topic: %w", err)
	}
	if err := roxy.CheckName(t.Type); err != nil {
		return nil, fmt.Errorf("type: %w", err)
	}
	e := &roxy.Event{
		Offset: t.Offset, Time: t.Time.UTC(), Topic: topic, Type: t.Type, By: t.By, ID: t.ID, Correlation: t.Correlation,
		Except: t.Except, TraceParent: t.TraceParent, Urgent: t.Urgent, Data: t.Data,
	}
	if err := checkNames([]name{{"by", t.By}, {"id", t.ID}, {"correlation", t.Correlation}}...); err != nil {
		return nil, err
	}
	if t.Except != "" {
		if err := roxy.CheckDevice(t.Except); err != nil {
			return nil, fmt.Errorf("except: %w", err)
		}
	}
	if t.To != nil {
		if e.To, err = roxy.NewAudience(t.To.Roles, t.To.Users); err != nil {
			return nil, fmt.Errorf("to.%w", err)
		}
	}
	if t.TTL != "" {
		if e.TTL, err = time.ParseDuration(t.TTL); err != nil || e.TTL <= 0 {
			return nil, errors.New("ttl: want a duration above 0 such as 1h30m")
		}
	}
	if t.Data != nil { // as the hub keeps it: without the white space that an editor may have put there
		if err := t.Data.Compact(); err != nil {
			return nil, fmt.Errorf("data: %w", err)
		}
		e.Data = t.Data
	}
	if t.Change == nil {
		return e, nil
	}
	c := t.Change
	if err := checkNames(name{"change.mutation", c.Mutation}); err != nil {
		return nil, err
	}
	if err := checkCanonical("change.patch", c.Patch, document.Patch); err != nil {
		return nil, err
	}
	if err := checkCanonical("change.undo", c.Undo, document.Patch); err != nil {
		return nil, err
	}
	e.Change = &roxy.Change{Op: c.Op, Version: c.Version, Mutation: c.Mutation, Patch: c.Patch, Undo: c.Undo}
	return e, nil
}

func textOfState(s *engine.State) *stateText {
	t := &stateText{Topic: s.Topic.String(), Version: s.Version, Offset: s.Offset, Time: s.Time.UTC(), Data: s.Data, Forgotten: s.Forgotten}
	for i := range s.Marks {
		k := &s.Marks[i]
		t.Marks = append(t.Marks, markText{k.Field, k.Part.String(), k.Version, k.By, k.Device, k.Seq})
	}
	return t
}

func (t *stateText) state() (*engine.State, error) {
	topic, err := roxy.ParseTopic(t.Topic)
	if err != nil {
		return nil, fmt.Errorf("topic: %w", err)
	}
	if err := checkCanonical("data", t.Data, document.Document); err != nil {
		return nil, err
	}
	s := &engine.State{
		Entity:    roxy.Entity{Topic: topic, Version: t.Version, Offset: t.Offset, Time: t.Time.UTC(), Data: t.Data},
		Forgotten: t.Forgotten, Marks: make([]engine.Mark, len(t.Marks)),
	}
	for i := range t.Marks {
		k := &t.Marks[i]
		m := engine.Mark{Field: k.Field, Version: k.Version, By: k.By, Device: k.Device, Seq: k.Seq}
		err := checkNames(name{"by", k.By})
		if err == nil && k.Part != "" {
			m.Part, err = roxy.ParseFieldPath(k.Part)
		}
		if err == nil && k.Device != "" {
			err = roxy.CheckDevice(k.Device)
		}
		if err != nil {
			return nil, fmt.Errorf("marks[%d]: %w", i, err)
		}
		s.Marks[i] = m
	}
	return s, nil
}

// name is a member that holds one.
type name struct{ member, value string }

// checkNames holds names against their rule, but for those that are not there.
func checkNames(names ...name) error {
	for _, n := range names {
		if n.value == "" {
			continue
		}
		if err := roxy.CheckName(n.value); err != nil {
			return fmt.Errorf("%s: %w", n.member, err)
		}
	}
	return nil
}

// checkCanonical refuses what is not spelled as the hub would: everything behind it takes that for granted.
func checkCanonical(member string, value jsontext.Value, canonical func([]byte) ([]byte, error)) error {
	if value == nil {
		return nil
	}
	want, err := canonical(value)
	if err == nil && !bytes.Equal(want, value) {
		err = errors.New("not in the canonical form in which exports are written")
	}
	if err != nil {
		return fmt.Errorf("%s: %w", member, err)
	}
	return nil
}
