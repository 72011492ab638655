package admin

import (
	"bufio"
	"context"
	"fmt"
	"iter"
	"log/slog"
	"math"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/engine"
)

const (
	defaultAuditPage = 100
	maxAuditPage     = 1000
	// maxTrace bounds the answer to GET /v1/admin/trace: a correlation of more events is no story that somebody reads.
	maxTrace = 10_000
	// maxAuditDetail bounds what is noted of a query.
	maxAuditDetail = 512
)

// auditRequest is what is asked of GET /v1/admin/audit.
type auditRequest struct {
	engine.AuditQuery
	limit int // 0 for all
}

// audit answers GET /v1/admin/audit with rows of the caller's tenant: a page of them as JSON, or all that are selected as
// lines of JSON, whose hashes anybody can verify when nothing was left out. That somebody looked is noted, too.
func (a *api) audit(w http.ResponseWriter, r *http.Request, who roxy.Identity) error {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return invalid("", "the query is not percent-encoded as it should be", err)
	}
	lines := acceptsLines(r.Header.Values("Accept"))
	q, err := parseAuditQuery(values, lines)
	if err != nil {
		return err
	}
	rows, bounds, err := a.Hub.Audited(r.Context(), who.Tenant, q.AuditQuery)
	if err != nil {
		return err
	}
	a.Hub.NoteAct(who, remoteOf(r), "audit", clipped(asked(values)))
	if lines {
		return a.auditLines(w, r, who, q, rows)
	}
	body := []byte(`{"rows":[`)
	n, last, more := 0, uint64(0), false
	for entry, err := range rows {
		if err != nil {
			return err
		}
		if more = n == q.limit; more {
			break
		}
		if n > 0 {
			body = append(body, ',')
		}
		body = entry.AppendLine(body)
		n, last = n+1, entry.Seq
	}
	body = append(body, ']')
	if more {
		body = fmt.Appendf(body, `,"page":"%d"`, last)
	}
	body = fmt.Appendf(body, `,"head":{"seq":%d,"hash":"%s"}}`, bounds.Head, bounds.Hash)
	writeJSON(w, body)
	return nil
}

// auditLines writes all that is selected as it is read. Unless rows are left out between the first and the last, a line
// with the hash of the row before the first comes first. What goes wrong behind the first line ends the connection.
func (a *api) auditLines(w http.ResponseWriter, r *http.Request, who roxy.Identity, q auditRequest, rows iter.Seq2[roxy.AuditEntry, error]) error {
	next, stop := iter.Pull2(rows)
	defer stop()
	first, err, some := next()
	if err != nil {
		return err
	}
	var line []byte
	if some && q.Whole() {
		if before, known := a.hashBefore(r.Context(), who.Tenant, first.Seq); known {
			line = appendAnchor(line, who.Tenant, first.Seq-1, before)
		}
	}
	h := w.Header()
	h.Set("Content-Type", ndjson)
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(http.StatusOK)
	if r.Method == http.MethodHead {
		return nil
	}
	to := bufio.NewWriterSize(patient{w, http.NewResponseController(w)}, exportPiece)
	for entry, n := first, 0; some && err == nil && (q.limit == 0 || n < q.limit); n++ {
		line = append(entry.AppendLine(line), '\n')
		if _, err = to.Write(line); err != nil {
			break
		}
		line = line[:0]
		entry, err, some = next()
	}
	if err == nil {
		err = to.Flush()
	}
	if err != nil {
		a.Logger.LogAttrs(r.Context(), slog.LevelWarn, "audit cut", slog.String("tenant", who.Tenant), slog.String("by", who.User), slog.Any("error", err))
		panic(http.ErrAbortHandler) // so that the reader does not take it for the end
	}
	return nil
}

// appendAnchor appends the line that tells the hash of a row without telling the row.
func appendAnchor(dst []byte, tenant string, seq uint64, hash roxy.AuditHash) []byte {
	return fmt.Appendf(dst, `{"tenant":"%s","seq":%d,"hash":"%s"}`+"\n", tenant, seq, hash)
}

// hashBefore returns the hash of the row before seq; false when it has just been forgotten.
func (a *api) hashBefore(ctx context.Context, tenant string, seq uint64) (hash roxy.AuditHash, known bool) {
	rows, bounds, err := a.Hub.Audited(ctx, tenant, engine.AuditQuery{After: max(seq, 2) - 2, Before: seq})
	if err != nil {
		return hash, false
	}
	if bounds.First == seq {
		return bounds.Before, true
	}
	for entry, err := range rows {
		return entry.Hash, err == nil && entry.Seq+1 == seq
	}
	return hash, false
}

// trace answers GET /v1/admin/trace/{correlation}: all rows of one correlation, oldest first.
func (a *api) trace(w http.ResponseWriter, r *http.Request, who roxy.Identity) error {
	correlation := r.PathValue("correlation")
	if err := roxy.CheckName(correlation); err != nil {
		return invalid("correlation", "correlation: "+err.Error(), nil)
	}
	rows, _, err := a.Hub.Audited(r.Context(), who.Tenant, engine.AuditQuery{Correlation: correlation})
	if err != nil {
		return err
	}
	a.Hub.NoteAct(who, remoteOf(r), "trace", "correlation "+correlation)
	name, err := json.Marshal(correlation)
	if err != nil {
		return fmt.Errorf("admin: encode a correlation: %w", err)
	}
	body := append(append([]byte(`{"correlation":`), name...), `,"rows":[`...)
	n := 0
	for entry, err := range rows {
		if err != nil {
			return err
		}
		if n++; n > maxTrace {
			break
		}
		if n > 1 {
			body = append(body, ',')
		}
		body = entry.AppendLine(body)
	}
	body = append(body, ']')
	if n > maxTrace {
		body = append(body, `,"truncated":true`...)
	}
	writeJSON(w, append(body, '}'))
	return nil
}

// writeJSON answers with JSON.
func writeJSON(w http.ResponseWriter, body []byte) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write(body) //nolint:gosec // JSON by its media type, and nosniff; an error means that nobody waits for it
}

// acceptsLines reports whether lines of JSON were asked for by name.
func acceptsLines(accept []string) bool {
	for _, value := range accept {
		for element := range strings.SplitSeq(value, ",") {
			if media, _, err := mime.ParseMediaType(element); err == nil && media == ndjson {
				return true
			}
		}
	}
	return false
}

// auditParameters are those of GET /v1/admin/audit, beside the ticket that may authenticate it.
func auditParameters() []string {
	return []string{"from", "to", "user", "device", "topic", "correlation", "kind", "event", "order", "limit", "page"}
}

// parseAuditQuery reads the query. With lines there is no limit unless it is given.
func parseAuditQuery(values url.Values, lines bool) (auditRequest, error) {
	q := auditRequest{limit: defaultAuditPage}
	if lines {
		q.limit = 0
	}
	for name, all := range values {
		if name == "ticket" {
			continue
		}
		if !slices.Contains(auditParameters(), name) {
			return q, invalid(name, "no parameter of the audit: it has "+strings.Join(auditParameters(), ", "), nil)
		}
		if len(all) > 1 && name != "kind" {
			return q, invalid(name, name+": given twice", nil)
		}
	}
	for name, to := range map[string]*string{"user": &q.User, "correlation": &q.Correlation} {
		if *to = values.Get(name); values.Has(name) {
			if err := roxy.CheckName(*to); err != nil {
				return q, invalid(name, name+": "+err.Error(), nil)
			}
		}
	}
	for name, to := range map[string]*time.Time{"from": &q.From, "to": &q.To} {
		if values.Has(name) {
			at, err := time.Parse(time.RFC3339, values.Get(name))
			if err != nil || at.Before(time.Unix(0, 0)) || at.After(time.Unix(0, math.MaxInt64)) {
				return q, invalid(name, name+": want a time such as 2026-11-23T18:00:00Z", err)
			}
			*to = at
		}
	}
	if values.Has("device") {
		if q.Device = values.Get("device"); roxy.CheckDevice(q.Device) != nil {
			return q, invalid("device", roxy.CheckDevice(q.Device).Error(), nil)
		}
	}
	if values.Has("topic") {
		pattern, err := roxy.ParsePattern(values.Get("topic"))
		if err != nil {
			return q, invalid("topic", err.Error(), nil)
		}
		q.Topic = pattern
	}
	if values.Has("event") {
		cursor, err := roxy.ParseCursor(values.Get("event"))
		if err != nil {
			return q, invalid("event", err.Error(), nil)
		}
		q.Event = cursor.String()
	}
	for _, text := range values["kind"] {
		kind := roxy.AuditKind(text)
		if !slices.Contains(roxy.AuditKinds(), kind) {
			return q, invalid("kind", fmt.Sprintf("kind %.40q is none of %v", text, roxy.AuditKinds()), nil)
		}
		q.Kinds = append(q.Kinds, kind)
	}
	return q, q.parsePage(values)
}

// parsePage reads what says which of the selected rows are wanted.
func (q *auditRequest) parsePage(values url.Values) error {
	switch order := values.Get("order"); {
	case !values.Has("order") || order == "asc":
	case order == "desc":
		q.Backwards = true
	default:
		return invalid("order", "order: want asc, the oldest first, or desc", nil)
	}
	if values.Has("limit") {
		n, err := strconv.Atoi(values.Get("limit"))
		if err != nil || n < 1 || n > maxAuditPage {
			return invalid("limit", fmt.Sprintf("limit: want 1–%d rows", maxAuditPage), err)
		}
		q.limit = n
	}
	if values.Has("page") {
		seq, err := strconv.ParseUint(values.Get("page"), 10, 64)
		if err != nil || seq == 0 {
			return invalid("page", "page: want what the answer before had there", err)
		}
		if q.After = seq; q.Backwards {
			q.After, q.Before = 0, seq
		}
	}
	return nil
}

// asked tells the parameters of a query, without the ticket, in one spelling.
func asked(values url.Values) string {
	kept := url.Values{}
	for _, name := range auditParameters() {
		if values.Has(name) {
			kept[name] = values[name]
		}
	}
	return kept.Encode()
}

func clipped(s string) string {
	if len(s) > maxAuditDetail {
		return s[:maxAuditDetail] + "…"
	}
	return s
}
