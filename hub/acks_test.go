package hub

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/roxyhub/roxy"
)

// critical is an event that somebody has to confirm.
func critical(t *testing.T, topic string, ack roxy.Ack) roxy.Event {
	t.Helper()
	p, ok := pattern(t, topic).Topic()
	if !ok {
		t.Fatal(topic)
	}
	return roxy.Event{Topic: p, Type: "order:new", Data: []byte(`{"no":1}`), Ack: &ack}
}

// awaitText returns the first line that holds text.
func (r *recorder) awaitText(t *testing.T, text string) string {
	t.Helper()
	var found string
	r.await(t, text, func(lines []string) bool {
		i := slices.IndexFunc(lines, func(l string) bool { return strings.Contains(l, text) })
		if i >= 0 {
			found = lines[i]
		}
		return i >= 0
	})
	return found
}

// onDevice follows the orders on a device, in the place of whoever does so.
func (f fixture) onDevice(t *testing.T, who roxy.Identity, device string) *recorder {
	t.Helper()
	sub := orders(t, who)
	sub.Device, sub.Snapshot = device, false
	r := newRecorder()
	f.follow(t, sub, r)
	r.awaitLine(t, "C roxy:live")
	return r
}

func TestConfirmationByAllDevicesSettlesACriticalEvent(t *testing.T) {
	f := startQuick(t, Options{})
	ann, bob := all(t, "bar", "ann"), all(t, "bar", "bob")
	kitchen, counter := f.onDevice(t, ann, "kitchen"), f.onDevice(t, bob, "counter")
	published, err := f.Publish(t.Context(), bob, []roxy.Event{critical(t, "orders/1", roxy.Ack{By: roxy.AckDevice, Within: time.Minute, Attempts: 3})})
	if err != nil {
		t.Fatal(err)
	}
	at := published[0].Cursor
	for _, r := range []*recorder{kitchen, counter} {
		r.awaitText(t, `"ack":{"id":"`+at.String()+`","by":"device"},"attempt":1`)
	}
	confirm := func(who roxy.Identity, device string, want roxy.AckStatus) {
		t.Helper()
		_, statuses, err := f.Acknowledge(t.Context(), who, Acks{Device: device, Delivered: &at, Confirmed: []roxy.Cursor{at}})
		if err != nil || statuses[0] != want {
			t.Errorf("%s: %v %v, want %s", device, statuses, err, want)
		}
	}
	confirm(ann, "kitchen", roxy.AckConfirmed)
	counter.awaitText(t, `"status":"confirmed","device":"kitchen"`)
	confirm(ann, "kitchen", roxy.AckRepeated)
	confirm(bob, "counter", roxy.AckConfirmed)
	counter.awaitText(t, `"settled":"acknowledged"`)
	c, err := f.Receipts(t.Context(), bob, at)
	if err != nil || c.Settlement != roxy.Acknowledged {
		t.Fatalf("%+v %v", c, err)
	}
	for _, r := range c.Targets {
		if r.Attempts != 1 || r.Written.IsZero() || r.Delivered.IsZero() || r.Confirmed.IsZero() || r.Transport != "test" {
			t.Errorf("receipt %+v", r)
		}
	}
	if _, err := f.Receipts(t.Context(), ann, at); err == nil {
		t.Error("somebody else's event has receipts")
	}
	if _, _, err := f.Acknowledge(t.Context(), bob, Acks{Device: "kitchen", Confirmed: []roxy.Cursor{at}}); err == nil {
		t.Error("another user's device was confirmed for")
	}
}

func TestUnconfirmedEventIsDeliveredAgainAndThenGivenUp(t *testing.T) {
	f := startQuick(t, Options{})
	ann, manager := all(t, "bar", "ann"), all(t, "bar", "max")
	manager.Grant.Read = append(manager.Grant.Read, pattern(t, roxy.DeadLetters))
	kitchen := f.onDevice(t, ann, "kitchen")
	letters := newRecorder()
	f.follow(t, Subscription{Identity: manager, Patterns: []roxy.Pattern{pattern(t, roxy.DeadLetters)}}, letters)
	letters.awaitLine(t, "C roxy:live")
	published, err := f.Publish(t.Context(), manager, []roxy.Event{critical(t, "orders/1", roxy.Ack{By: roxy.AckAny, Within: roxy.MinAckWithin, Attempts: 2})})
	if err != nil {
		t.Fatal(err)
	}
	kitchen.awaitText(t, `"attempt":2`)
	again := f.onDevice(t, ann, "kitchen") // replaces it, and is offered the event first
	lines := again.lines()
	if len(lines) < 2 || !strings.Contains(lines[1], `"attempt":2`) {
		t.Errorf("offered first: %q", lines)
	}
	kitchen.awaitText(t, `"reason":"replaced"`)
	line := letters.awaitText(t, roxy.UnackedType)
	if !strings.Contains(line, `"reason":"attempts"`) || !strings.Contains(line, `"unconfirmed":[{"device":"kitchen","user":"ann"}]`) {
		t.Errorf("dead letter %s", line)
	}
	_, statuses, err := f.Acknowledge(t.Context(), ann, Acks{Device: "kitchen", Confirmed: []roxy.Cursor{published[0].Cursor}})
	if err != nil || statuses[0] != roxy.AckLate {
		t.Errorf("a late confirmation: %v %v", statuses, err)
	}
}

func TestWipedDeviceResumesBehindWhatItAcknowledged(t *testing.T) {
	f := startQuick(t, Options{MailboxEvents: 3})
	ann := all(t, "bar", "ann")
	sub := orders(t, ann)
	sub.Device, sub.Snapshot = "tablet", false
	r, leave := f.subscribe(t, sub)
	r.awaitLine(t, "C roxy:live")
	if err := leave(); !errors.Is(err, context.Canceled) && err != nil {
		t.Fatal(err)
	}
	event := critical(t, "orders/1", roxy.Ack{})
	event.Ack = nil
	var last roxy.Cursor
	for range 3 {
		p, err := f.Publish(t.Context(), ann, []roxy.Event{event})
		if err != nil {
			t.Fatal(err)
		}
		last = p[0].Cursor
	}
	wiped := f.onDevice(t, ann, "tablet")
	wiped.awaitText(t, `"replayed":3`)
	wiped = f.onDevice(t, ann, "tablet") // it was written, and never acknowledged
	wiped.awaitText(t, `"replayed":3`)
	if at, _, err := f.Acknowledge(t.Context(), ann, Acks{Device: "tablet", Delivered: &last}); err != nil || at != last {
		t.Fatal(at, err)
	}
	wiped = f.onDevice(t, ann, "tablet")
	wiped.awaitText(t, `"replayed":0`)
	for range 4 {
		if _, err := f.Publish(t.Context(), ann, []roxy.Event{event}); err != nil {
			t.Fatal(err)
		}
	}
	wiped = f.onDevice(t, ann, "tablet")
	wiped.awaitText(t, `"reason":"overflow"`)
}
