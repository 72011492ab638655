package httpapi

import (
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/transport"
	"github.com/roxyhub/roxy/transport/sse"
)

// clientHeader is sent by clients that read the status of a refusal. A native EventSource cannot, and takes every
// status but 200 for final.
const clientHeader = "Roxy-Client"

// stream answers GET /v1/stream until the stream ends.
func (a *api) stream(x *exchange, r *http.Request) error {
	err := a.subscribe(x, r)
	if p, ok := errors.AsType[*roxy.Problem](err); ok && forLoad(p.Code) && r.Header.Get(clientHeader) == "" {
		sse.Refuse(x, p.RetryAfter)
		a.refused(x, r, p)
		return nil
	}
	return err
}

// forLoad reports whether a refusal has to do with how busy the hub is, not with who asks for what.
func forLoad(code roxy.Code) bool {
	return code == roxy.RateLimited || code == roxy.Overloaded || code == roxy.NotReady
}

func (a *api) subscribe(x *exchange, r *http.Request) error {
	ip := clientIP(r, a.TrustedProxies)
	if err := a.Limits.Attempt(ip); err != nil {
		return err
	}
	if err := a.admit(r); err != nil { // before a ticket is spent on it
		return err
	}
	who, err := a.authenticate(x, r)
	if err != nil {
		return err
	}
	if accept := r.Header.Values("Accept"); !accepts(accept, "text", "event-stream") {
		return &roxy.Problem{Code: roxy.NotAcceptable, Member: "Accept", Detail: fmt.Sprintf("Accept %q leaves out text/event-stream", strings.Join(accept, ", "))}
	}
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return &roxy.Problem{Code: roxy.InvalidParameter, Detail: "the query is not percent-encoded as it should be"}
	}
	sub, err := transport.ParseSubscription(query, r.Header.Get("Last-Event-ID"), transport.Options{MaxTopics: a.MaxTopicsPerStream, Heartbeat: a.Heartbeat})
	if err != nil {
		return err
	}
	sub.Identity, sub.Remote = who, ip.String()
	sub.Gzip = !a.NoCompression && acceptsGzip(r.Header.Values("Accept-Encoding"))
	release, err := a.Limits.Connect(ip, who.Tenant, who.User)
	if err != nil {
		return err
	}
	sub.Ended = release
	if err := sse.Serve(x, r, a.Hub, sub); err != nil {
		release() // it never began
		return err
	}
	x.status = http.StatusOK // said by the transport, past x when it took the connection
	return nil
}

// acceptsGzip reports whether an Accept-Encoding header lets the answer be compressed by gzip (RFC 9110 §12.5.3).
func acceptsGzip(header []string) bool {
	named, accepted := false, false
	for _, line := range header {
		for element := range strings.SplitSeq(line, ",") {
			coding, weight, _ := strings.Cut(element, ";")
			q, err := strconv.ParseFloat(strings.TrimPrefix(strings.TrimSpace(weight), "q="), 64)
			wanted := weight == "" || err == nil && q > 0
			switch strings.ToLower(strings.TrimSpace(coding)) {
			case "gzip", "x-gzip":
				named, accepted = true, wanted
			case "*":
				accepted = accepted || !named && wanted
			}
		}
	}
	return accepted
}

// accepts reports whether an Accept header lets the answer be of the media type major/minor: the most specific range
// that fits decides (RFC 9110 §12.5.1). No header accepts everything.
func accepts(header []string, major, minor string) bool {
	if len(header) == 0 {
		return true
	}
	best, accepted := -1, false
	for _, line := range header {
		for element := range strings.SplitSeq(line, ",") {
			media, params, err := mime.ParseMediaType(element)
			if err != nil {
				continue
			}
			specific := map[string]int{"*/*": 0, major + "/*": 1, major + "/" + minor: 2}
			rank, fits := specific[media]
			if !fits || rank < best {
				continue
			}
			q, err := strconv.ParseFloat(params["q"], 64)
			best, accepted = rank, params["q"] == "" || err == nil && q > 0
		}
	}
	return accepted
}
