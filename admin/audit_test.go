package admin

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/engine"
)

// auditPage is the answer to GET /v1/admin/audit.
type auditPage struct {
	Rows []jsontext.Value `json:"rows"`
	Page string           `json:"page"`
	Head struct {
		Seq  uint64 `json:"seq"`
		Hash string `json:"hash"`
	} `json:"head"`
}

func (s *site) note(t *testing.T, tenant string, rows ...roxy.AuditRow) {
	t.Helper()
	if err := s.engine.Note(t.Context(), tenant, rows); err != nil {
		t.Fatal(err)
	}
}

// lines asks for lines of JSON.
func (s *site) lines(t *testing.T, path, bearer string) [][]byte {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.admin.URL+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+bearer)
	r.Header.Set("Accept", "application/x-ndjson")
	response, err := s.admin.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK || response.Header.Get("Content-Type") != "application/x-ndjson" {
		t.Fatalf("%s: %s: %s: %v", path, response.Status, text, err)
	}
	if len(text) == 0 {
		return nil
	}
	return bytes.Split(bytes.TrimSuffix(text, []byte("\n")), []byte("\n"))
}

// seqs returns the numbers of rows, without those that tell who looked.
func seqs(t *testing.T, rows []jsontext.Value) []uint64 {
	t.Helper()
	out := []uint64{}
	for _, raw := range rows {
		entry, row, err := roxy.ParseAuditLine(raw)
		if err != nil {
			t.Fatalf("%s: %v", raw, err)
		}
		if row.Kind != roxy.AuditAdmin {
			out = append(out, entry.Seq)
		}
	}
	return out
}

func TestTheAuditSelectsRowsOfTheCallersTenant(t *testing.T) {
	s := open(t)
	boss := token(t, "bar", "boss", true)
	s.note(t, "bar",
		roxy.AuditRow{Kind: roxy.AuditConnect, User: "u1", Device: "d1"},
		roxy.AuditRow{Kind: roxy.AuditPublish, User: "u1", Topic: "orders/1", Correlation: "a b/c", Event: "e.1"},
		roxy.AuditRow{Kind: roxy.AuditAck, User: "u2", Device: "d2", Topic: "orders/1", Event: "e.1"},
	)
	s.note(t, "club", roxy.AuditRow{Kind: roxy.AuditConnect, User: "u9"})
	for query, want := range map[string][]uint64{
		"":                          {1, 2, 3},
		"order=desc":                {3, 2, 1},
		"order=asc&limit=1000":      {1, 2, 3},
		"user=u1":                   {1, 2},
		"device=d2":                 {3},
		"topic=orders/*":            {2, 3},
		"topic=orders/*&user=u2":    {3},
		"correlation=a+b%2Fc":       {2},
		"kind=ack&kind=connect":     {1, 3},
		"event=e.1":                 {2, 3},
		"user=u9":                   {},
		"from=2020-01-01T00:00:00Z": {1, 2, 3},
		"to=2020-01-01T00:00:00Z":   {},
		"from=2020-01-01T00:00:00%2B01:00&to=2200-01-01T00:00:00.5Z": {1, 2, 3},
	} {
		var got auditPage
		s.ask(t, "GET", "/v1/admin/audit?"+query, boss, "").into(t, &got)
		if kept := seqs(t, got.Rows); !reflect.DeepEqual(kept, want) || got.Page != "" {
			t.Errorf("%s: rows %v, want %v", query, kept, want)
		}
		if got.Head.Seq < 3 || len(got.Head.Hash) != 2*len(roxy.AuditHash{}) {
			t.Errorf("%s: head %+v", query, got.Head)
		}
	}
}

func TestPagesOfTheAuditAreStableWhileRowsAreAdded(t *testing.T) {
	s := open(t)
	boss := token(t, "bar", "boss", true)
	for range 250 {
		s.note(t, "bar", roxy.AuditRow{Kind: roxy.AuditConnect, User: "u1"}, roxy.AuditRow{Kind: roxy.AuditConnect, User: "u2"})
	}
	for _, order := range []string{"asc", "desc"} {
		var got []uint64
		for page := ""; ; {
			var answer auditPage
			s.ask(t, "GET", "/v1/admin/audit?user=u1&limit=7&order="+order+page, boss, "").into(t, &answer)
			if len(answer.Rows) > 7 || len(answer.Rows) < 7 && answer.Page != "" {
				t.Fatalf("%d rows and the page %q", len(answer.Rows), answer.Page)
			}
			got = append(got, seqs(t, answer.Rows)...)
			if page = "&page=" + answer.Page; answer.Page == "" {
				break
			}
			s.note(t, "bar", roxy.AuditRow{Kind: roxy.AuditAdmin, User: "u1"})
		}
		if order == "desc" {
			slices.Reverse(got)
		}
		if len(got) != 250 || !slices.IsSorted(got) || got[0] != 1 || got[249] != 499 {
			t.Errorf("%s: %d rows: %v", order, len(got), got)
		}
	}
}

// Anybody can verify an export, line by line: what this test does is in docs/operations.md for the shell.
func TestLinesOfTheAuditCanBeVerified(t *testing.T) {
	s := open(t)
	boss := token(t, "bar", "boss", true)
	for i := range 40 {
		s.note(t, "bar", roxy.AuditRow{Kind: roxy.AuditConnect, User: fmt.Sprint("u", i), Detail: "<\"é\u2028\">"})
	}
	middle := ""
	for entry, err := range s.engine.Audited(t.Context(), "bar", engine.AuditQuery{After: 19, Before: 21}) {
		if err != nil {
			t.Fatal(err)
		}
		row, err := entry.Row()
		if err != nil {
			t.Fatal(err)
		}
		middle = row.Time.Format(time.RFC3339Nano)
	}
	for query, first := range map[string]uint64{"": 1, "?from=" + middle: 20, "?limit=5": 1} {
		lines := s.lines(t, "/v1/admin/audit"+query, boss)
		var anchor struct {
			Tenant string `json:"tenant"`
			Seq    uint64 `json:"seq"`
			Hash   string `json:"hash"`
		}
		if err := json.Unmarshal(lines[0], &anchor); err != nil || anchor.Tenant != "bar" || anchor.Seq+1 != first {
			t.Fatalf("%s: %v", lines[0], err)
		}
		hash, err := hex.DecodeString(anchor.Hash)
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range lines[1:] {
			row, told, _ := bytes.Cut(line, []byte(`,"hash":"`))
			sum := sha256.Sum256(append(append(hash, row...), '}'))
			if hash = sum[:]; hex.EncodeToString(hash)+`"}` != string(told) {
				t.Fatalf("%s: %s is not chained: %x", query, line, hash)
			}
		}
	}
	if lines := s.lines(t, "/v1/admin/audit?user=u3", boss); len(lines) != 1 || bytes.Contains(lines[0], []byte("tenant")) {
		t.Errorf("of some rows: %s", lines)
	}
	if lines := s.lines(t, "/v1/admin/audit?user=nobody", boss); lines != nil {
		t.Errorf("of no rows: %s", lines)
	}
}

func TestATraceIsTheStoryOfOneCorrelation(t *testing.T) {
	s := open(t)
	boss := token(t, "bar", "boss", true)
	for _, name := range []string{"table 12/evening", "..", "a//b", "ü%"} {
		s.note(t, "bar",
			roxy.AuditRow{Kind: roxy.AuditPublish, User: "u1", Topic: "orders/1", Correlation: name, Event: "e.1"},
			roxy.AuditRow{Kind: roxy.AuditPublish, User: "u1", Correlation: name + "x"},
			roxy.AuditRow{Kind: roxy.AuditAck, User: "u2", Correlation: name, Event: "e.1"},
		)
		var got struct {
			Correlation string           `json:"correlation"`
			Rows        []jsontext.Value `json:"rows"`
		}
		path := strings.ReplaceAll(url.PathEscape(name), ".", "%2E")
		s.ask(t, "GET", "/v1/admin/trace/"+path, boss, "").into(t, &got)
		if n := len(got.Rows); n != 2 || got.Correlation != name || !bytes.Contains(got.Rows[0], []byte(`"kind":"publish"`)) || !bytes.Contains(got.Rows[1], []byte(`"kind":"ack"`)) {
			t.Errorf("%q: %+v", name, got)
		}
	}
	for path, want := range map[string]int{"/v1/admin/trace/": 400, "/v1/admin/trace/%00": 400, "/v1/admin/trace/nothing": 200} {
		if got := s.ask(t, "GET", path, boss, ""); got.status != want {
			t.Errorf("%s: %d %s", path, got.status, got.body)
		}
	}
}

func TestABadQueryOfTheAuditNamesItsParameter(t *testing.T) {
	s := open(t)
	boss := token(t, "bar", "boss", true)
	for query, member := range map[string]string{
		"form=x": "form", "from=yesterday": "from", "from=": "from", "to=0001-01-01T00:00:00Z": "to", "user=": "user", "device=a/b": "device",
		"topic=a//b": "topic", "event=7": "event", "kind=nothing": "kind", "order=up": "order", "limit=0": "limit", "limit=1001": "limit",
		"page=0": "page", "page=x": "page", "user=a&user=b": "user", "correlation=%00": "correlation",
	} {
		got := s.ask(t, "GET", "/v1/admin/audit?"+query, boss, "")
		if code, at, _ := got.code(t); got.status != 400 || code != "invalid-parameter" || at != member {
			t.Errorf("%s: %d %s", query, got.status, got.body)
		}
	}
}

func TestWhoAdministersIsInTheAudit(t *testing.T) {
	s := open(t)
	boss, waiter := token(t, "bar", "boss", true), token(t, "bar", "u7", false)
	s.ask(t, "GET", "/v1/admin/stats", waiter, "")
	s.ask(t, "GET", "/v1/admin/audit?user=u7&limit=3", boss, "")
	s.ask(t, "GET", "/v1/admin/trace/c1", boss, "")
	s.ask(t, "GET", "/v1/admin/export", boss, "")
	s.ask(t, "POST", "/v1/admin/revocations", boss, `{"jti":"j9"}`)
	if err := s.hub.Close(context.WithoutCancel(t.Context())); err != nil {
		t.Fatal(err)
	}
	var got []string
	for entry, err := range s.engine.Audited(t.Context(), "bar", engine.AuditQuery{}) {
		if err != nil {
			t.Fatal(err)
		}
		row, err := entry.Row()
		if err != nil || row.Remote != "127.0.0.1" {
			t.Fatalf("%s: %v", entry.JSON, err)
		}
		got = append(got, strings.Join([]string{string(row.Kind), row.User, row.Reason, row.Detail}, "|"))
	}
	slices.Sort(got)
	want := []string{
		"admin|boss|audit|limit=3&user=u7", "admin|boss|export|of the log up to 0", "admin|boss|trace|correlation c1",
		`refusal|u7|forbidden|GET /v1/admin/stats: this call is for administrators: neither the token nor its roles grant admin`,
		`revocation|boss|token|the token "j9"`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}

func FuzzParseAuditQuery(f *testing.F) {
	f.Add("from=2026-11-23T18:00:00Z&to=2026-11-24T00:00:00%2B01:00&user=u7&device=d1&topic=orders/*&order=desc&limit=7&page=9", false)
	f.Add("correlation=a%2Fb&kind=ack&kind=publish&event=e.7", true)
	f.Add("ticket=x&page=18446744073709551615", false)
	f.Fuzz(func(t *testing.T, query string, lines bool) {
		values, err := url.ParseQuery(query)
		if err != nil {
			return
		}
		q, err := parseAuditQuery(values, lines)
		if err != nil {
			if p, ok := errors.AsType[*roxy.Problem](err); !ok || p.Code != roxy.InvalidParameter {
				t.Fatalf("%v is no problem of a parameter", err)
			}
			return
		}
		if q.limit > maxAuditPage || q.limit == 0 && !lines {
			t.Fatalf("%q became %+v, noted as %q", query, q, asked(values))
		}
		again, err := parseAuditQuery(values, lines)
		if err != nil || !reflect.DeepEqual(q, again) {
			t.Fatalf("%+v, and then %+v: %v", q, again, err)
		}
	})
}
