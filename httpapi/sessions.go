package httpapi

import (
	"net/http"
	"time"
)

// refresh answers POST /v1/sessions/{connection}/refresh: the live connection goes on under the token of this
// request, which is of the same user and tenant.
func (a *api) refresh(x *exchange, r *http.Request) error {
	fresh, err := a.authenticate(x, r)
	if err != nil {
		return err
	}
	connection := r.PathValue("connection")
	if err := a.Hub.Refresh(connection, fresh); err != nil {
		return err
	}
	return x.answerJSON(struct {
		Connection string    `json:"connection"`
		Expires    time.Time `json:"expires"`
	}{connection, fresh.Expires.UTC()})
}
