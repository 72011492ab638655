package client

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/roxyhub/roxy"
)

// Device is a durable subscriber as the hub knows it. Its User is not told: it is the caller.
type Device struct {
	roxy.Device
	Connected  bool
	Connection string // the hub's name for its connection, while Connected
	Transport  string // sse or ws
}

// Devices returns the caller's devices. It is repeated as Publish is.
func (c *Client) Devices(ctx context.Context) ([]Device, error) {
	answer, err := c.do(ctx, call{what: "list devices", method: http.MethodGet, path: "v1/devices"})
	if err != nil {
		return nil, err
	}
	return decodeDevices(answer)
}

// ForgetDevice removes a device of the caller's, or any for an administrator: the hub keeps nothing for it, and critical
// events do not wait for it any more. One that was removed already is roxy.ErrNotFound, even when it was by an attempt of
// this call whose answer was lost.
func (c *Client) ForgetDevice(ctx context.Context, device string) error {
	_, err := c.do(ctx, call{what: "forget device " + device, method: http.MethodDelete, path: "v1/devices/" + url.PathEscape(device)})
	return err
}

func decodeDevices(text []byte) ([]Device, error) {
	var answer struct {
		Devices []struct {
			Device     string    `json:"device"`
			Roles      []string  `json:"roles"`
			Patterns   []string  `json:"patterns"`
			Types      []string  `json:"types"`
			Cursor     string    `json:"cursor"`
			Created    time.Time `json:"created"`
			Seen       time.Time `json:"seen"`
			Connected  bool      `json:"connected"`
			Connection string    `json:"connection"`
			Transport  string    `json:"transport"`
		} `json:"devices"`
	}
	if json.Unmarshal(text, &answer) != nil {
		return nil, errors.New("client: the list of devices is not as docs/protocol.md §7 says")
	}
	list := make([]Device, len(answer.Devices))
	for i, d := range answer.Devices {
		list[i] = Device{Connected: d.Connected, Connection: d.Connection, Transport: d.Transport, Device: roxy.Device{
			Name: d.Device, Roles: d.Roles, Types: d.Types, Created: d.Created, Seen: d.Seen,
		}}
		var err error
		if list[i].Cursor, err = roxy.ParseCursor(d.Cursor); err != nil {
			return nil, fmt.Errorf("client: device %q: %w", d.Device, err)
		}
		for _, text := range d.Patterns {
			p, err := roxy.ParsePattern(text)
			if err != nil {
				return nil, fmt.Errorf("client: device %q: %w", d.Device, err)
			}
			list[i].Patterns = append(list[i].Patterns, p)
		}
	}
	return list, nil
}

// Critical is what became of a critical event.
type Critical struct {
	ID          roxy.Cursor // the event
	Topic       roxy.Topic
	Type        string
	By          string // who published it
	Correlation string
	Time        time.Time
	Ack         roxy.Ack
	Attempt     int                // deliveries begun
	Due         time.Time          // when the next one is, or the event is given up; zero once it is settled
	Settlement  roxy.Settlement    // "" while it is open
	Reason      roxy.UnackedReason // of roxy.Unacked
	Settled     time.Time          // zero while it is open
	Users       []string           // one device of each has to confirm, with roxy.AckUser
	Receipts    []roxy.DeviceReceipt
}

// Receipts returns what became of the critical event at a cursor, with each device that it is for. It is for its publisher
// and for administrators; to others it is roxy.ErrNotFound, as one that is not retained any more. It is repeated as Publish
// is.
func (c *Client) Receipts(ctx context.Context, event roxy.Cursor) (Critical, error) {
	answer, err := c.do(ctx, call{what: "read receipts", method: http.MethodGet, path: "v1/events/" + url.PathEscape(event.String()) + "/receipts"})
	if err != nil {
		return Critical{}, err
	}
	return decodeCritical(answer)
}

func decodeCritical(text []byte) (Critical, error) {
	var answer struct {
		Event       string    `json:"event"`
		Topic       string    `json:"topic"`
		Type        string    `json:"type"`
		By          string    `json:"by"`
		Correlation string    `json:"correlation"`
		Time        time.Time `json:"time"`
		Ack         struct {
			By       roxy.AckBy `json:"by"`
			Within   string     `json:"within"`
			Attempts int        `json:"attempts"`
		} `json:"ack"`
		Attempt    int                `json:"attempt"`
		Due        time.Time          `json:"due"`
		Settlement roxy.Settlement    `json:"settlement"`
		Reason     roxy.UnackedReason `json:"reason"`
		Settled    time.Time          `json:"settled"`
		Users      []string           `json:"users"`
		Receipts   []struct {
			Device    string    `json:"device"`
			User      string    `json:"user"`
			Written   time.Time `json:"written"`
			Delivered time.Time `json:"delivered"`
			Confirmed time.Time `json:"confirmed"`
			Late      bool      `json:"late"`
			Attempts  int       `json:"attempts"`
			Transport string    `json:"transport"`
		} `json:"receipts"`
	}
	if json.Unmarshal(text, &answer) != nil {
		return Critical{}, errors.New("client: the receipts are not as docs/protocol.md §7 says")
	}
	out := Critical{
		Type: answer.Type, By: answer.By, Correlation: answer.Correlation, Time: answer.Time, Attempt: answer.Attempt, Due: answer.Due,
		Settlement: answer.Settlement, Reason: answer.Reason, Settled: answer.Settled, Users: answer.Users,
		Ack: roxy.Ack{By: answer.Ack.By, Attempts: answer.Ack.Attempts},
	}
	var errs [3]error
	out.ID, errs[0] = roxy.ParseCursor(answer.Event)
	out.Topic, errs[1] = roxy.ParseTopic(answer.Topic)
	out.Ack.Within, errs[2] = time.ParseDuration(answer.Ack.Within)
	if err := errors.Join(errs[:]...); err != nil {
		return Critical{}, fmt.Errorf("client: receipts: %w", err)
	}
	for _, r := range answer.Receipts {
		out.Receipts = append(out.Receipts, roxy.DeviceReceipt(r))
	}
	return out, nil
}
