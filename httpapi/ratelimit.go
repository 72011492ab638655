package httpapi

import (
	"net/http"
	"strconv"
	"time"

	"github.com/roxyhub/roxy"
)

// setRateLimit tells the state of a limit in the fields of draft-ietf-httpapi-ratelimit-headers-10, both structured
// lists (RFC 9651): q permits for each window of w seconds, r of them left, t seconds until all q are back.
func setRateLimit(h http.Header, s roxy.LimitState) {
	window := max(seconds(s.Window), 1)
	remaining := min(max(s.Remaining, 0), s.Quota)
	full := 0
	if s.Quota > 0 {
		full = seconds(s.Window * time.Duration(s.Quota-remaining) / time.Duration(s.Quota))
	}
	name := strconv.Quote(s.Name)
	h.Set("RateLimit-Policy", name+";q="+strconv.Itoa(s.Quota)+";w="+strconv.Itoa(window))
	h.Set("RateLimit", name+";r="+strconv.Itoa(remaining)+";t="+strconv.Itoa(full))
}

// seconds rounds up to whole seconds.
func seconds(d time.Duration) int { return int((d + time.Second - 1) / time.Second) }
