package admin

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/roxyhub/roxy"
)

func TestARevocationEndsTheStreamAndRefusesTheToken(t *testing.T) {
	for name, body := range map[string]string{
		"one token":          `{"jti":"jti-u7"}`,
		"a user's until now": `{"user":"u7","before":"` + time.Now().UTC().Format(time.RFC3339) + `"}`,
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t)
			waiter := token(t, "bar", "u7", false)
			_, lines := s.follow(t, waiter)
			s.follow(t, token(t, "club", "u7", false))

			got := s.ask(t, "POST", "/v1/admin/revocations", token(t, "bar", "boss", true), body)
			var r roxy.Revocation
			if got.into(t, &r); got.status != 200 || r.Tenant != "bar" || (r.TokenID == "") == (r.User == "") {
				t.Fatalf("%d %s", got.status, got.body)
			}
			var last string
			for line := range lines { // to the end of the stream
				last += line + "\n"
			}
			if !strings.Contains(last, "event: roxy:bye\n") || !strings.Contains(last, `"reason":"revoked"`) {
				t.Errorf("the stream ended with %q", last)
			}
			if status, _ := s.follow(t, waiter); status != 401 {
				t.Errorf("the token opens a stream: %d", status)
			}
			var others struct {
				Connections []connection `json:"connections"`
			}
			s.ask(t, "GET", "/v1/admin/connections", token(t, "club", "boss", true), "").into(t, &others)
			if len(others.Connections) != 1 {
				t.Errorf("the same user of another tenant was ended: %+v", others)
			}
			if status, _ := s.follow(t, token(t, "club", "u7", false)); status != 200 {
				t.Errorf("the same user of another tenant: %d", status)
			}
		})
	}
}

func TestARevocationIsReadStrictly(t *testing.T) {
	s := open(t)
	manager := token(t, "bar", "boss", true)
	for name, tt := range map[string]struct {
		body   string
		status int
		member string
	}{
		"nothing":             {``, 400, ""},
		"an array":            {`[]`, 400, ""},
		"no member":           {`{}`, 400, "jti"},
		"both":                {`{"jti":"a","user":"u","before":"2026-11-23T18:00:00Z"}`, 400, "jti"},
		"a user alone":        {`{"user":"u"}`, 400, "before"},
		"a time alone":        {`{"before":"2026-11-23T18:00:00Z"}`, 400, "jti"},
		"a jti with a time":   {`{"jti":"a","before":"2026-11-23T18:00:00Z"}`, 400, "before"},
		"no time":             {`{"user":"u","before":"yesterday"}`, 400, "before"},
		"an empty jti":        {`{"jti":""}`, 400, "jti"},
		"a long jti":          {`{"jti":"` + strings.Repeat("a", 129) + `"}`, 400, "jti"},
		"null":                {`{"jti":null}`, 400, "jti"},
		"a number":            {`{"jti":7}`, 400, "jti"},
		"an object":           {`{"user":{"a":"b"}}`, 400, "user"},
		"twice":               {`{"jti":"a","jti":"b"}`, 400, "jti"},
		"another tenant":      {`{"tenant":"club","jti":"a"}`, 400, "tenant"},
		"another case":        {`{"JTI":"a"}`, 400, "JTI"},
		"more behind it":      {`{"jti":"a"} {}`, 400, ""},
		"half":                {`{"jti":"a"`, 400, ""},
		"not UTF-8":           {"{\"jti\":\"a\xff\"}", 400, ""},
		"a control character": {`{"jti":"a\u0000"}`, 400, "jti"},
		"too much":            {`{"jti":"` + strings.Repeat("a", 5000) + `"}`, 413, ""},
	} {
		got := s.ask(t, "POST", "/v1/admin/revocations", manager, tt.body)
		if _, member, detail := got.code(t); got.status != tt.status || member != tt.member || detail == "" {
			t.Errorf("%s: %d, member %q, %q", name, got.status, member, detail)
		}
	}
}

func TestARevocationComesAsJSON(t *testing.T) {
	s := open(t)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.admin.URL+"/v1/admin/revocations", strings.NewReader(`{"jti":"a"}`))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token(t, "bar", "boss", true))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded") // what a form on any page can send
	response, err := s.admin.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusUnsupportedMediaType {
		t.Errorf("status %d", response.StatusCode)
	}
}

func FuzzDecodeRevocation(f *testing.F) {
	for _, s := range []string{`{"jti":"a"}`, `{"user":"u","before":"2026-11-23T18:00:00+01:00"}`, `{"jti":"a","jti":"b"}`, `{`, `{"user":{}}`, "{\"jti\":\"\xff\"}"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		r, err := decodeRevocation(body)
		if err != nil {
			return
		}
		for _, name := range []string{r.TokenID, r.User} {
			if name != "" && roxy.CheckName(name) != nil {
				t.Fatalf("%q was accepted with %q", body, name)
			}
		}
		if r.Tenant != "" || r.Before.Location() != time.UTC {
			t.Fatalf("%q became %+v", body, r)
		}
	})
}
