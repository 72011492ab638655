package admin

import (
	"bytes"
	"net/http"
	"strings"
	"testing"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/portable"
)

// send sends a batch.
func (s *site) send(t *testing.T, path, bearer, media string, body []byte) answered {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.admin.URL+path, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+bearer)
	r.Header.Set("Content-Type", media)
	response, err := s.admin.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	var text bytes.Buffer
	if _, err := text.ReadFrom(response.Body); err != nil {
		t.Fatal(err)
	}
	return answered{response.StatusCode, response.Header, text.Bytes()}
}

func TestAnExportIsOfTheCallersTenantAndTakenInPieceByPiece(t *testing.T) {
	from, to := open(t), open(t)
	topic, err := roxy.ParseTopic("orders/1")
	if err != nil {
		t.Fatal(err)
	}
	for _, tenant := range []string{"bar", "club"} {
		who := roxy.Identity{Tenant: tenant, User: "u1", Grant: roxy.Grant{Publish: []roxy.Pattern{roxy.Pattern(topic)}}}
		if _, err := from.hub.Publish(t.Context(), who, []roxy.Event{{Topic: topic, Data: []byte(`"` + tenant + `"`)}, {Topic: topic}}); err != nil {
			t.Fatal(err)
		}
	}
	boss := token(t, "bar", "boss", true)
	got := from.ask(t, "GET", "/v1/admin/export", boss, "")
	if got.status != 200 || got.header.Get("Content-Type") != "application/x-ndjson" || strings.Contains(string(got.body), "club") || strings.Count(string(got.body), "\n") != 4 {
		t.Fatalf("%d %s", got.status, got.body)
	}
	if head := from.ask(t, "HEAD", "/v1/admin/export", boss, ""); head.status != 200 || len(head.body) != 0 {
		t.Errorf("HEAD: %d %s", head.status, head.body)
	}
	_, streamed := to.follow(t, token(t, "bar", "waiter", false))
	lines := bytes.SplitAfter(got.body, []byte("\n"))
	for i, want := range []imported{{Running: true, Offset: 1, First: 1, Head: 2}, {Running: true, Offset: 2, First: 1, Head: 2}, {Offset: 2}} {
		var at imported
		a := to.send(t, "/v1/admin/import?line="+string(rune('2'+i)), boss, "application/x-ndjson", append(bytes.Clone(lines[0]), lines[i+1]...))
		if a.status != 200 {
			t.Fatalf("batch %d: %d %s", i, a.status, a.body)
		}
		a.into(t, &at)
		want.Epoch = at.Epoch
		if at != want || at.Epoch == "" {
			t.Errorf("batch %d: %+v, want %+v", i, at, want)
		}
		to.ask(t, "GET", "/v1/admin/import", boss, "").into(t, &at)
		if at != want {
			t.Errorf("behind batch %d: %+v, want %+v", i, at, want)
		}
	}
	var last string
	for line := range streamed { // which the import ended
		last = line + last
	}
	if !strings.Contains(last, `"reason":"drain"`) {
		t.Errorf("the stream ended with %q", last)
	}
	if again := to.ask(t, "GET", "/v1/admin/export", boss, ""); !bytes.Equal(bytes.Join(bytes.SplitAfter(again.body, []byte("\n"))[1:3], nil), bytes.Join(lines[1:3], nil)) {
		t.Errorf("exported again it is %s", again.body)
	}
}

func TestABatchIsReadStrictly(t *testing.T) {
	s := open(t)
	boss := token(t, "bar", "boss", true)
	header := `{"roxy":"export","format":1,"tenant":"bar","epoch":"e1","first":1,"head":1,"time":"2026-11-24T18:00:00Z"}` + "\n"
	event := `{"event":{"offset":1,"time":"2026-11-24T18:00:00Z","topic":"orders/1","type":"a"}}` + "\n"
	for name, tt := range map[string]struct {
		path, token, media, body string
		status                   int
		code, member             string
	}{
		"no administrator": {"", token(t, "bar", "u", false), ndjson, header, 403, "forbidden", ""},
		"another media":    {"", boss, "application/json", header, 415, "unsupported-media-type", "Content-Type"},
		"a wrong line":     {"?line=1", boss, ndjson, header, 400, "invalid-parameter", "line"},
		"another tenant":   {"", token(t, "club", "boss", true), ndjson, header, 400, "invalid-import", "line 1"},
		"nothing":          {"", boss, ndjson, "", 400, "invalid-import", "line 1"},
		"a bad event":      {"?line=100", boss, ndjson, header + event + event, 400, "invalid-import", "line 101"},
		"too early an end": {"?line=100", boss, ndjson, header + `{"end":{"events":1,"entities":0,"sha256":"` + strings.Repeat("0", 64) + `"}}` + "\n", 400, "invalid-import", "line 100"},
		"too much":         {"", boss, ndjson, header + strings.Repeat(" ", portable.MaxBatch), 413, "too-large", ""},
	} {
		got := s.send(t, "/v1/admin/import"+tt.path, tt.token, tt.media, []byte(tt.body))
		if code, member, _ := got.code(t); got.status != tt.status || code != tt.code || member != tt.member {
			t.Errorf("%s: %d %s", name, got.status, got.body)
		}
	}
	var at imported
	if s.ask(t, "GET", "/v1/admin/import", boss, "").into(t, &at); at.Running {
		t.Errorf("something was begun: %+v", at)
	}
	if got := s.ask(t, "OPTIONS", "/v1/admin/import", boss, ""); got.header.Get("Allow") != "GET, HEAD, POST, DELETE, OPTIONS" {
		t.Errorf("Allow: %s", got.header.Get("Allow"))
	}
}
