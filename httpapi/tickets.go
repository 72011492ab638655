package httpapi

import (
	"net/http"
	"time"

	"github.com/roxyhub/roxy"
)

// ticket answers POST /v1/tickets: what an EventSource, which can send no header, puts into ?ticket= once.
// A ticket is good for one request only, so it cannot be traded for the next.
func (a *api) ticket(x *exchange, r *http.Request) error {
	who, err := a.authenticate(x, r)
	if err != nil {
		return err
	}
	if r.URL.Query().Has("ticket") {
		return &roxy.Problem{Code: roxy.InvalidParameter, Member: "ticket", Detail: "ticket: a ticket does not buy another; send the token"}
	}
	ticket, expires, err := a.Auth.IssueTicket(who)
	if err != nil {
		return err
	}
	return x.answerJSON(struct {
		Ticket  string    `json:"ticket"`
		Expires time.Time `json:"expires"`
	}{ticket, expires.UTC()})
}
