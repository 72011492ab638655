package httpapi

import (
	"net/http"
	"time"

	"github.com/roxyhub/roxy"
)

// critical is a critical event as its publisher is told of it.
type critical struct {
	Event       string             `json:"event"` // its cursor
	Topic       string             `json:"topic"`
	Type        string             `json:"type"`
	By          string             `json:"by"`
	Correlation string             `json:"correlation,omitempty"`
	Time        time.Time          `json:"time"`
	Ack         ack                `json:"ack"`
	Attempt     int                `json:"attempt"`
	Due         time.Time          `json:"due,omitzero"`
	Settlement  roxy.Settlement    `json:"settlement,omitempty"`
	Reason      roxy.UnackedReason `json:"reason,omitempty"`
	Settled     time.Time          `json:"settled,omitzero"`
	Users       []string           `json:"users,omitempty"`
	Receipts    []receipt          `json:"receipts"`
}

type ack struct {
	By       roxy.AckBy `json:"by"`
	Within   string     `json:"within"`
	Attempts int        `json:"attempts"`
}

// receipt is what is known of a critical event and one device that it is for.
type receipt struct {
	Device    string    `json:"device"`
	User      string    `json:"user"`
	Written   time.Time `json:"written,omitzero"`
	Delivered time.Time `json:"delivered,omitzero"`
	Confirmed time.Time `json:"confirmed,omitzero"`
	Late      bool      `json:"late,omitzero"`
	Attempts  int       `json:"attempts"`
	Transport string    `json:"transport,omitempty"`
}

// receipts answers GET /v1/events/{cursor}/receipts.
func (a *api) receipts(x *exchange, r *http.Request) error {
	who, err := a.authenticate(x, r)
	if err != nil {
		return err
	}
	cursor, err := roxy.ParseCursor(r.PathValue("cursor"))
	if err != nil {
		return &roxy.Problem{Code: roxy.InvalidParameter, Member: "cursor", Detail: err.Error()}
	}
	c, err := a.Hub.Receipts(r.Context(), who, cursor)
	if err != nil {
		return err
	}
	x.correlation = c.Correlation
	told := critical{
		Event: c.Cursor().String(), Topic: c.Topic.String(), Type: c.Type, By: c.By, Correlation: c.Correlation, Time: c.Time.UTC(),
		Ack:     ack{c.Ack.By, c.Ack.Within.String(), c.Ack.Attempts},
		Attempt: c.Attempt, Settlement: c.Settlement, Reason: c.Reason, Settled: c.Settled, Users: c.Users,
		Receipts: make([]receipt, len(c.Targets)),
	}
	if c.Settlement == "" {
		told.Due = c.Due.UTC()
	}
	for i := range c.Targets {
		told.Receipts[i] = receipt(c.Targets[i])
	}
	return x.answerJSON(told)
}
