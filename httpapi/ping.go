package httpapi

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/roxyhub/roxy"
)

// maxEcho bounds what a ping gives back.
const maxEcho = 64

// echoed are the characters that a ping gives back: those of numbers, times and names.
const echoed = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.~:+-"

// ping answers GET /v1/ping for whoever measures the round trip: t as it came, and the hub's time. It asks for no
// identity and touches nothing.
func (a *api) ping(x *exchange, r *http.Request) error {
	t := r.URL.Query().Get("t")
	if len(t) > maxEcho || strings.Trim(t, echoed) != "" {
		return &roxy.Problem{
			Code: roxy.InvalidParameter, Member: "t",
			Detail: fmt.Sprintf("t: want at most %d of A-Z a-z 0-9 _ . ~ : + -", maxEcho),
		}
	}
	return x.answerJSON(struct {
		T    string    `json:"t,omitzero"`
		Time time.Time `json:"time"`
	}{t, time.Now().UTC()})
}
