package faultproxy

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"
)

// End is how a connection is ended.
type End string

// The ways to end a connection.
const (
	FIN    End = "fin"    // in order, as a server or proxy that stops
	RST    End = "rst"    // a reset: what is on its way is lost
	Freeze End = "freeze" // half-open: nobody is told
)

// Where selects requests. The zero value selects all.
type Where struct {
	// Client is the name in a first segment ~NAME of the path.
	Client string `json:"client,omitempty"`
	// Match is a method and how the path begins behind ~NAME: "GET /v1/stream".
	Match string `json:"match,omitempty"`
}

func (w Where) is(r *Request) bool {
	return (w.Client == "" || w.Client == r.Client) && strings.HasPrefix(r.Method+" "+r.Path, w.Match)
}

// Check returns an error that begins with the member at fault.
func (w Where) Check() error {
	if method, path, ok := strings.Cut(w.Match, " "); w.Match != "" && (!ok || method == "" || !strings.HasPrefix(path, "/")) {
		return fmt.Errorf("match: %q, want a method and how a path begins, such as \"GET /v1/stream\"", w.Match)
	}
	return nil
}

// Fault is what befalls requests at Where. Its members may be combined; what concerns the answer counts from its first byte,
// status line and header included.
type Fault struct {
	Where
	// Times is how many requests it befalls; 0 is all.
	Times int `json:"times,omitempty"`
	// Answer is given in the server's place, which does not hear of the request.
	Answer *Answer `json:"answer,omitempty"`
	// Lost cuts the connection before the server hears of the request.
	Lost End `json:"lost,omitempty"`
	// Delay holds the request and each piece of the answer for so many milliseconds, and up to Jitter more.
	Delay  int `json:"delay,omitempty"`
	Jitter int `json:"jitter,omitempty"`
	// Rate is how many bytes of the answer pass in a second.
	Rate int `json:"rate,omitempty"`
	// Drop is how many bytes are missing at the beginning of the answer.
	Drop int `json:"drop,omitempty"`
	// Buffer passes the answer on in pieces of so many bytes, and what is left when the server closes; -1: all of it then.
	Buffer int `json:"buffer,omitempty"`
	// End ends the connection when After bytes of the answer have passed; 0: none.
	End   End `json:"end,omitempty"`
	After int `json:"after,omitempty"`
}

// Answer is one in place of the server's.
type Answer struct {
	Status int `json:"status"`
	// Header is, for instance, {"Retry-After": "1", "Access-Control-Allow-Origin": "*"}.
	Header map[string]string `json:"header,omitempty"`
	Body   string            `json:"body,omitempty"`
}

// check returns an error that begins with the member at fault.
func (f Fault) check() error {
	for _, n := range []struct {
		name       string
		value, min int
	}{{"times", f.Times, 0}, {"delay", f.Delay, 0}, {"jitter", f.Jitter, 0}, {"rate", f.Rate, 0}, {"drop", f.Drop, 0}, {"buffer", f.Buffer, -1}, {"after", f.After, 0}} {
		if n.value < n.min {
			return fmt.Errorf("%s: %d, want at least %d", n.name, n.value, n.min)
		}
	}
	switch {
	case f.Answer != nil && (f.Answer.Status < 200 || f.Answer.Status > 599):
		return fmt.Errorf("answer.status: %d, want 200 to 599", f.Answer.Status)
	case f.Answer != nil && (f.Lost != "" || f.End != ""):
		return fmt.Errorf("answer: does not go together with lost or end")
	case f.Lost != "" && f.Lost != FIN && f.Lost != RST:
		return fmt.Errorf("lost: %q, want %q or %q", f.Lost, FIN, RST)
	case f.End != "" && f.End != FIN && f.End != RST && f.End != Freeze:
		return fmt.Errorf("end: %q, want %q, %q or %q", f.End, FIN, RST, Freeze)
	case f.After > 0 && f.End == "":
		return fmt.Errorf("after: means nothing without end")
	}
	return f.Where.Check()
}

// wait returns for how long the request, or a piece of the answer, is held.
func (f Fault) wait() time.Duration {
	ms := f.Delay
	if f.Jitter > 0 {
		ms += rand.IntN(f.Jitter + 1) //nolint:gosec // it guards nothing
	}
	return time.Duration(ms) * time.Millisecond
}

// harm names what the fault does.
func (f Fault) harm() string {
	switch {
	case f.Lost != "":
		return "lost"
	case f.Answer != nil:
		return "answer"
	case f.End != "":
		return "end"
	case f.Buffer != 0:
		return "buffer"
	case f.Rate != 0:
		return "rate"
	case f.Drop != 0:
		return "drop"
	case f.Delay+f.Jitter != 0:
		return "delay"
	}
	return ""
}

// write answers r with it.
func (a *Answer) write(to io.Writer, r *http.Request) error {
	answer := http.Response{
		StatusCode: a.Status, ProtoMajor: 1, ProtoMinor: 1, Header: a.header(), Request: r,
		ContentLength: int64(len(a.Body)), Body: io.NopCloser(strings.NewReader(a.Body)),
	}
	return answer.Write(to)
}

func (a *Answer) header() http.Header {
	header := make(http.Header)
	for name, value := range a.Header {
		header.Set(name, value)
	}
	return header
}
