package httpapi

import (
	"net/http"
	"strings"

	"github.com/roxyhub/roxy"
)

// idempotencyKey returns the key of the Idempotency-Key header, "" when r has none. The header's draft
// (draft-ietf-httpapi-idempotency-key-header) has a quoted string; bare keys are in use and taken too.
func idempotencyKey(r *http.Request) (string, error) {
	values := r.Header.Values("Idempotency-Key")
	if len(values) == 0 {
		return "", nil
	}
	key, ok := values[0], len(values) == 1
	if ok && strings.HasPrefix(key, `"`) {
		key, ok = unquoteField(key)
	}
	if !ok {
		return "", invalidKey("want one key, bare or as a quoted string")
	}
	if err := roxy.CheckName(key); err != nil {
		return "", invalidKey(err.Error())
	}
	return key, nil
}

// unquoteField reads a string of RFC 9651 §3.3.3.
func unquoteField(s string) (string, bool) {
	if len(s) < 2 || s[len(s)-1] != '"' {
		return "", false
	}
	var out strings.Builder
	for i, last := 1, len(s)-1; i < last; i++ {
		switch {
		case s[i] == '"':
			return "", false
		case s[i] != '\\':
		case i+1 < last && (s[i+1] == '"' || s[i+1] == '\\'):
			i++
		default:
			return "", false
		}
		out.WriteByte(s[i])
	}
	return out.String(), true
}

// traceParent returns s when it is a W3C traceparent, else "": a broken one starts a new trace and is no reason to
// refuse the request (https://www.w3.org/TR/trace-context/#a-traceparent-is-received).
func traceParent(s string) string {
	const version00, longest = 55, 128 // later versions may append fields
	switch {
	case len(s) < version00 || len(s) > longest:
		return ""
	case s[2] != '-' || s[35] != '-' || s[52] != '-':
		return ""
	case s[:2] == "00" && len(s) != version00, len(s) > version00 && s[version00] != '-':
		return ""
	case !isHex(s[:2]) || !isHex(s[3:35]) || !isHex(s[36:52]) || !isHex(s[53:55]) || s[:2] == "ff":
		return ""
	case strings.Trim(s[3:35], "0") == "" || strings.Trim(s[36:52], "0") == "":
		return ""
	}
	for _, c := range []byte(s[version00:]) {
		if c <= ' ' || c >= 0x7f {
			return ""
		}
	}
	return s
}

func isHex(s string) bool { return strings.Trim(s, "0123456789abcdef") == "" }

func invalidKey(why string) error {
	return &roxy.Problem{Code: roxy.InvalidParameter, Member: "Idempotency-Key", Detail: "header Idempotency-Key: " + why}
}
