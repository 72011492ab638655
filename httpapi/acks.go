package httpapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/hub"
)

// acknowledge answers POST /v1/acks when what the device said is durable.
func (a *api) acknowledge(x *exchange, r *http.Request) error {
	who, err := a.authenticate(x, r)
	if err != nil {
		return err
	}
	if err := jsonBody(r.Header, "application/json"); err != nil {
		return err
	}
	body, err := a.readBody(x, r, roxy.InvalidParameter)
	if err != nil {
		return err
	}
	answer, state, err := a.commitAcks(r.Context(), who, body)
	if err != nil {
		return err
	}
	if state.Name != "" {
		setRateLimit(x.Header(), state)
	}
	x.answer(answer)
	return nil
}

// commitAcks does what POST /v1/acks does with a body; the socket does the same with the members of a message. It asks for
// no memory: who acknowledges frees some.
func (a *api) commitAcks(ctx context.Context, who roxy.Identity, body []byte) ([]byte, roxy.LimitState, error) {
	acks, err := decodeAcks(body, a.MaxBatch)
	if err != nil {
		return nil, roxy.LimitState{}, err
	}
	state, err := a.Limits.Acknowledge(who.Tenant, who.User)
	if err != nil {
		return nil, roxy.LimitState{}, err
	}
	cursor, statuses, err := a.Hub.Acknowledge(ctx, who, acks)
	if err != nil {
		return nil, roxy.LimitState{}, err
	}
	return appendAcknowledged(nil, &acks, cursor, statuses), state, nil
}

// decodeAcks reads what a device acknowledges, as strictly as decodeEvents.
func decodeAcks(body []byte, maxBatch int) (acks hub.Acks, err error) {
	d := newDecoder(body)
	d.code = roxy.InvalidParameter
	err = d.object("an object", func(name jsontext.Token) (err error) {
		switch name.String() {
		case "device":
			acks.Device, err = d.device()
		case "delivered":
			var c roxy.Cursor
			err = d.cursor(&c)
			acks.Delivered = &c
		case "ids":
			if d.PeekKind() != '[' {
				return d.unexpected("an array of cursors")
			}
			acks.Confirmed, err = arrayOf(d, maxBatch, "id", (*decoder).cursor)
		default:
			err = d.unknown("there are device, delivered and ids")
		}
		return err
	})
	if err == nil {
		err = d.end()
	}
	switch {
	case err != nil:
	case acks.Device == "":
		err = d.faultAt("device", "device is required: who acknowledges")
	case acks.Delivered == nil && acks.Confirmed == nil:
		err = d.faultAt("ids", "delivered or ids is required: up to where the device has everything, or which critical events it confirms")
	}
	if err != nil {
		return hub.Acks{}, err
	}
	return acks, nil
}

func (d *decoder) device() (string, error) {
	s, err := d.string()
	if err != nil {
		return "", err
	}
	if err := roxy.CheckDevice(s); err != nil {
		return "", d.fault(err.Error())
	}
	return s, nil
}

func (d *decoder) cursor(c *roxy.Cursor) error {
	s, err := d.string()
	if err != nil {
		return err
	}
	if *c, err = roxy.ParseCursor(s); err != nil {
		return d.fault(err.Error())
	}
	return nil
}

// appendAcknowledged appends the answer to acks.
func appendAcknowledged(b []byte, acks *hub.Acks, cursor roxy.Cursor, statuses []roxy.AckStatus) []byte {
	b = append(b, `{"device":"`...) // neither a device nor a cursor holds what JSON escapes
	b = append(b, acks.Device...)
	b = append(b, `","cursor":"`...)
	b = cursor.Append(b)
	b = append(b, `","results":[`...)
	for i, c := range acks.Confirmed {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"id":"`...)
		b = c.Append(b)
		b = append(b, `","status":"`...)
		b = append(b, statuses[i]...)
		b = append(b, `"}`...)
	}
	return append(b, "]}"...)
}

// ack reads who must confirm an event. The bounds of its values are Event.Check's.
func (d *decoder) ack() (*roxy.Ack, error) {
	ack := roxy.Ack{Within: roxy.DefaultAckWithin, Attempts: roxy.DefaultAckAttempts}
	err := d.object("an object", func(name jsontext.Token) (err error) {
		switch name.String() {
		case "by":
			var by string
			by, err = d.name()
			ack.By = roxy.AckBy(by)
		case "within":
			ack.Within, err = d.ttl()
		case "attempts":
			var n uint64
			n, err = d.count()
			ack.Attempts = int(min(n, roxy.MaxAckAttempts+1)) // beyond the bound one is as good as another
		default:
			err = d.unknown("who must confirm is said by the members by, within and attempts")
		}
		return err
	})
	if err == nil && ack.By == "" {
		err = d.faultAt("by", "by is required: any, user or device")
	}
	if err != nil {
		return nil, err
	}
	return &ack, nil
}

// parseAck reads the extension of a CloudEvent that stands for ack: by, and after semicolons within and attempts, such as
// device;within=30s;attempts=5.
func parseAck(s string) (*roxy.Ack, error) {
	by, rest, more := strings.Cut(s, ";")
	ack := &roxy.Ack{By: roxy.AckBy(by), Within: roxy.DefaultAckWithin, Attempts: roxy.DefaultAckAttempts}
	given := make(map[string]bool)
	for more {
		var part string
		part, rest, more = strings.Cut(rest, ";")
		name, value, _ := strings.Cut(part, "=")
		if given[name] {
			return nil, fmt.Errorf("%s is given twice", name)
		}
		given[name] = true
		var err error
		switch name {
		case "within":
			ack.Within, err = time.ParseDuration(value)
		case "attempts":
			ack.Attempts, err = strconv.Atoi(value)
		default:
			err = errors.New("unknown")
		}
		if err != nil {
			return nil, errors.New("want any, user or device, and perhaps how, such as device;within=30s;attempts=5")
		}
	}
	if err := ack.Check(); err != nil {
		problem, _ := errors.AsType[*roxy.Problem](err)
		return nil, errors.New(problem.Detail)
	}
	return ack, nil
}
