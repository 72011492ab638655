package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/client"
	"github.com/roxyhub/roxy/internal/testkit"
)

// boss returns the environment of an administrator of hub.
func boss(t *testing.T, hub *testkit.Hub) []string {
	t.Helper()
	token := hub.Token(t, testkit.Claims{User: "boss", Roles: []string{"everything"}})
	return []string{"ROXY_TOKEN=" + token, "ROXY_URL=" + hub.URL, "ROXY_ADMIN_URL=" + hub.AdminURL}
}

// call asks hub for something as its administrator and returns what it answers.
func call(t *testing.T, hub *testkit.Hub, method, url, contentType, body string) (status int, answer string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+hub.Token(t, testkit.Claims{User: "boss", Roles: []string{"everything"}}))
	req.Header.Set("Content-Type", contentType)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// fill publishes n events of 1 KB on calls/1 and puts 50 entities, and returns the export of all that.
func fill(t *testing.T, hub *testkit.Hub, n int) (export string) {
	t.Helper()
	var lines strings.Builder
	for i := range n {
		fmt.Fprintf(&lines, `{"topic":"calls/1","type":"call","id":"k-%d","data":{"n":%d,"text":"%s"}}`+"\n", i, i, strings.Repeat("x", 1000))
	}
	mustRoxy(t, boss(t, hub), lines.String(), "publish", "--ndjson")
	for i := range 50 {
		if status, answer := call(t, hub, "PUT", fmt.Sprintf("%s/v1/entities/orders/%d", hub.URL, i), "application/json", `{"table":7}`); status != 200 && status != 201 {
			t.Fatalf("put: %d %s", status, answer)
		}
	}
	export = filepath.Join(t.TempDir(), "bar.ndjson")
	mustRoxy(t, boss(t, hub), "", "export", "--out", export)
	if _, err := os.Stat(export + ".part"); err == nil {
		t.Error("the .part is still there")
	}
	return export
}

// nextCalls returns the next n events of calls behind a cursor, nil for all that there are. A reset is a failure.
func nextCalls(t *testing.T, hub *testkit.Hub, after *roxy.Cursor, n int) (got []client.Event) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	token := hub.Token(t, testkit.Claims{User: "boss", Roles: []string{"everything"}})
	c, err := client.New(client.Options{URL: hub.URL, Token: func(context.Context) (string, error) { return token, nil }})
	if err != nil {
		t.Fatal(err)
	}
	calls, err := roxy.ParsePattern("calls/*")
	if err != nil {
		t.Fatal(err)
	}
	for message, err := range c.Subscribe(ctx, client.Subscription{Patterns: []roxy.Pattern{calls}, After: after, Earliest: after == nil}) {
		if err != nil {
			t.Fatal(err)
		}
		switch m := message.(type) {
		case client.Reset:
			t.Fatalf("reset: %+v", m)
		case client.Event:
			if got = append(got, m); len(got) == n {
				return got
			}
		}
	}
	return got
}

// importing returns how far hub is.
func importing(t *testing.T, hub *testkit.Hub) (at importState) {
	t.Helper()
	status, answer := call(t, hub, "GET", hub.AdminURL+"/v1/admin/import", "", "")
	if err := json.Unmarshal([]byte(answer), &at); err != nil || status != 200 {
		t.Fatalf("%d %s: %v", status, answer, err)
	}
	return at
}

// begin sends the hub the beginning of an export, as far as it takes until kill is called while the import waits for
// more, and returns what roxy import says then.
func begin(t *testing.T, hub *testkit.Hub, export []byte, kill func()) (stderr string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, testkit.Binary(t), "import", "-")
	cmd.Env = append(os.Environ(), boss(t, hub)...)
	var said bytes.Buffer
	cmd.Stderr = &said
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := in.Write(export[:len(export)*2/3]); err != nil {
		t.Fatal(err)
	}
	for at := importing(t, hub); !at.Running; at = importing(t, hub) {
		if ctx.Err() != nil {
			t.Fatalf("the import does not begin: %s", said.String())
		}
		time.Sleep(time.Millisecond)
	}
	kill()
	_, _ = in.Write(export[len(export)*2/3:]) // it may have ended
	_ = in.Close()
	if err := cmd.Wait(); err == nil {
		t.Error("an import into a hub that was killed succeeded")
	}
	return said.String()
}

func TestATenantMovesAndItsFollowersGoOn(t *testing.T) {
	const events = 6000
	from, to := testkit.Start(t, testkit.Config{}), testkit.Start(t, testkit.Config{})
	file := fill(t, from, events)
	got := nextCalls(t, from, nil, 1000)

	export, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	said := begin(t, to, export, func() {
		// Half of a tenant is nobody's.
		if _, answer := call(t, to, "GET", to.URL+"/v1/stream?topic=calls/*", "", ""); !strings.HasPrefix(answer, "retry: ") || !strings.Contains(answer, "event: roxy:bye") {
			t.Errorf("a stream is told %q", answer)
		}
		for path, method := range map[string]string{"/v1/entities/orders/1": "GET", "/v1/events": "POST"} {
			if status, answer := call(t, to, method, to.URL+path, "application/json", `{"topic":"calls/1","data":1}`); status != 503 || !strings.Contains(answer, "not-ready") || !strings.Contains(answer, "roxy import") {
				t.Errorf("%s: %d %s", path, status, answer)
			}
		}
		to.Kill9(t)
	})
	if !strings.Contains(said, "it goes on where it stopped") {
		t.Errorf("the interrupted import says %q", said)
	}
	to.Restart(t)
	if at := importing(t, to); !at.Running || at.Offset == 0 || at.Offset >= events {
		t.Errorf("it stands at %+v", at)
	}
	if out := mustRoxy(t, boss(t, to), "", "import", file); !strings.Contains(out, "imported the tenant default") {
		t.Error(out)
	}
	if out := mustRoxy(t, boss(t, to), "", "import", file); !strings.Contains(out, "nothing to do") {
		t.Error(out)
	}

	// Whoever followed goes on with their cursor; whoever repeats is not doubled.
	again := mustRoxy(t, boss(t, to), "", "publish", "calls/1", fmt.Sprintf(`{"n":5,"text":"%s"}`, strings.Repeat("x", 1000)), "--type", "call", "--id", "k-5")
	if got[5].Cursor.String() != strings.TrimSpace(again) {
		t.Errorf("the repeated event stands at %s, and stood at %s", again, got[5].Cursor)
	}
	mustRoxy(t, boss(t, to), "", "publish", "calls/1", `{"n":6000}`, "--type", "call")
	got = append(got, nextCalls(t, to, &got[len(got)-1].Cursor, events+1-len(got))...)
	for i, e := range got {
		if !strings.HasPrefix(string(e.Data), fmt.Sprintf(`{"n":%d`, i)) {
			t.Fatalf("event %d: %.40s", i, e.Data)
		}
	}
	if status, answer := call(t, to, "GET", to.URL+"/v1/entities/orders/7", "", ""); status != 200 || !strings.Contains(answer, `"table":7`) {
		t.Errorf("%d %s", status, answer)
	}
	// What the move made of it, exported again, is the same, and what came since.
	later := filepath.Join(t.TempDir(), "later.ndjson")
	mustRoxy(t, boss(t, to), "", "export", "-o", later)
	text, err := os.ReadFile(later)
	if err != nil {
		t.Fatal(err)
	}
	before, _, _ := bytes.Cut(export, []byte("\n{\"entity\""))
	_, before, _ = bytes.Cut(before, []byte("\n"))
	if _, after, _ := bytes.Cut(text, []byte("\n")); !bytes.HasPrefix(after, before) {
		t.Error("the moved events are spelled otherwise")
	}
}

func TestAnImportIsRefusedBeforeItChangesAnything(t *testing.T) {
	hub := testkit.Start(t, testkit.Config{})
	file := fill(t, hub, 3)
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	empty := testkit.Start(t, testkit.Config{})
	other := testkit.Start(t, testkit.Config{})
	mustRoxy(t, boss(t, other), "", "publish", "calls/1", "1")
	written := func(text []byte) string {
		name := filepath.Join(t.TempDir(), "changed.ndjson")
		if err := os.WriteFile(name, text, 0o600); err != nil { //nolint:gosec // the test's own folder
			t.Fatal(err)
		}
		return name
	}
	waiter := append(boss(t, empty), "ROXY_TOKEN="+empty.Token(t, testkit.Claims{User: "w", Roles: []string{"waiter"}}))
	elsewhere := append(boss(t, empty), "ROXY_TOKEN="+empty.Token(t, testkit.Claims{User: "w", Tenant: "pub", Roles: []string{"everything"}}))
	for name, tt := range map[string]struct {
		env  []string
		args []string
		want string
	}{
		"a tenant that holds something": {boss(t, other), []string{"import", file}, "not-empty"},
		"no administrator":              {waiter, []string{"import", file}, "forbidden"},
		"no administrator's export":     {waiter, []string{"export"}, "forbidden"},
		"another tenant":                {elsewhere, []string{"import", file}, `"pub"`},
		"a cut file":                    {boss(t, empty), []string{"import", written(text[:len(text)/2])}, "cut"},
		"a file without its end":        {boss(t, empty), []string{"import", written(text[:bytes.LastIndex(text, []byte(`{"end"`))])}, "without its last line"},
		"a changed file":                {boss(t, empty), []string{"import", written(bytes.Replace(text, []byte("xxx"), []byte("xyx"), 1))}, "SHA-256"},
		"a bad line":                    {boss(t, empty), []string{"import", written(bytes.Replace(text, []byte(`"offset":2`), []byte(`"offset":"2"`), 1))}, "line 3"},
		"no file":                       {boss(t, empty), []string{"import"}, "name the file"},
		"nothing to give up":            {boss(t, empty), []string{"import", "--abandon"}, "not-empty"},
	} {
		if _, stderr, err := runRoxy(t, t.TempDir(), tt.env, "", tt.args...); err == nil || !strings.Contains(stderr, tt.want) {
			t.Errorf("%s: %v, %q, want … %s", name, err, stderr, tt.want)
		}
	}
	if at := importing(t, empty); at.Running || at.Offset != 0 {
		t.Errorf("something was taken in: %+v", at)
	}
	// The hub itself is as strict with whoever has another client.
	if status, answer := call(t, empty, "POST", empty.AdminURL+"/v1/admin/import?line=7", "application/x-ndjson", string(text[:bytes.IndexByte(text, '\n')])+"\n{\"event\":{}}\n"); status != 400 || !strings.Contains(answer, `"member":"line 7"`) || !strings.Contains(answer, `"code":"invalid-import"`) {
		t.Errorf("%d %s", status, answer)
	}
	// A cut export is told from a whole one where no second look is possible: the end is missing.
	if _, stderr, err := runRoxy(t, t.TempDir(), boss(t, empty), string(text[:len(text)-10]), "import", "-"); err == nil || !strings.Contains(stderr, "cut") {
		t.Errorf("%v: %s", err, stderr)
	}
	mustRoxy(t, boss(t, empty), string(text), "import", "-")
	if at := importing(t, empty); at.Running || at.Offset != 53 {
		t.Errorf("it stands at %+v", at)
	}
}

func TestAnImportCanBeGivenUp(t *testing.T) {
	from, to := testkit.Start(t, testkit.Config{}), testkit.Start(t, testkit.Config{})
	file := fill(t, from, 6000)
	export, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	begin(t, to, export, func() { to.Kill9(t) })
	to.Restart(t)
	mustRoxy(t, boss(t, to), "", "import", "--abandon")
	if at := importing(t, to); at.Running || at.Offset != 0 {
		t.Errorf("it stands at %+v", at)
	}
	mustRoxy(t, boss(t, to), "", "import", file)
	if at := importing(t, to); at.Running || at.Offset != 6050 {
		t.Errorf("it stands at %+v", at)
	}
}
