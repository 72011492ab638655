package main

import (
	"bufio"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/roxyhub/roxy/internal/testkit"
)

func TestPutPatchGetAndDeleteWorkTogether(t *testing.T) {
	hub := testkit.Start(t, testkit.Config{})
	env := []string{"ROXY_URL=" + hub.URL, "ROXY_TOKEN=" + hub.Token(t, testkit.Claims{User: "boss", Roles: []string{"everything"}})}
	file := filepath.Join(t.TempDir(), "change.json")
	if err := os.WriteFile(file, []byte("{\"status\": \"<ready>\",\n\"note\": null}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for i, step := range []struct {
		stdin string
		args  []string
		want  string
	}{
		{"", []string{"put", "orders/7", `{"table":7,"status":"new","note":"no ice"}`, "--new", "--type", "order:new"}, "1\n"},
		{"", []string{"patch", "orders/7", "@" + file, "--base", "1"}, "2\n"},
		{`{"guests":4}`, []string{"patch", "orders/7", "-", "--base", "1", "--id", "m-1", "--device", "bar-1", "--seq", "1"}, "3\n"},
		{`{"guests":4}`, []string{"patch", "orders/7", "-", "--base", "1", "--id", "m-1", "--device", "bar-1", "--seq", "1"}, "3\n"},
		{"", []string{"put", "orders/8", `{}`, "--base", "0"}, "1\n"},
		{"", []string{"patch", "orders/8", `{}`, "--if-match", "*"}, "2\n"},
		{"", []string{"delete", "orders/8", "--if-match", "2", "--correlation", "evening"}, "3\n"},
		{"", []string{"get", "tables/*"}, ""},
	} {
		if got := mustRoxy(t, env, step.stdin, step.args...); got != step.want {
			t.Errorf("step %d, roxy %s: %q, want %q", i, strings.Join(step.args, " "), got, step.want)
		}
	}
	for _, what := range []string{"orders/7", "orders/*"} {
		got := mustRoxy(t, env, "", "get", what)
		before, after, _ := strings.Cut(got, `"time":"`)
		if _, after, _ = strings.Cut(after, `",`); before+after != `{"topic":"orders/7","version":3,"data":{"guests":4,"status":"<ready>","table":7}}`+"\n" {
			t.Errorf("get %s: %s", what, got)
		}
	}
	for name, tt := range map[string]struct {
		args []string
		want []string // in what is said
	}{
		"a field that clashes":      {[]string{"patch", "orders/7", `{"status":"paid","table":7}`, "--base", "1"}, []string{"version-conflict", "clashing: status\n", `now: {"topic":"orders/7","version":3,`, `"status":"<ready>"`}},
		"a version that has passed": {[]string{"delete", "orders/7", "--if-match", "1"}, []string{"version-conflict", `now: {"topic":"orders/7","version":3,`}},
		"what is there already":     {[]string{"put", "orders/7", "{}", "--new"}, []string{"version-conflict", `now: {"topic":"orders/7","version":3,`}},
		"what was deleted":          {[]string{"put", "orders/8", "{}", "--if-match", "2"}, []string{"version-conflict", `now: {"topic":"orders/8","version":3,`, `"data":null}`}},
		"a patch of nothing":        {[]string{"patch", "orders/9", "{}"}, []string{"not-found"}},
		"a read of nothing":         {[]string{"get", "orders/8"}, []string{"not-found", "orders/8"}},
		"what is no object":         {[]string{"put", "orders/7", "[]"}, []string{"an object", "(data)"}},
		"what is no JSON":           {[]string{"put", "orders/7", "two beers"}, []string{"is not JSON", "@FILE"}},
		"a file that is not there":  {[]string{"put", "orders/7", "@nowhere.json"}, []string{"nowhere.json"}},
		"two guards":                {[]string{"put", "orders/7", "{}", "--new", "--base", "1"}, []string{"not several"}},
		"a version that is none":    {[]string{"patch", "orders/7", "{}", "--if-match", "x"}, []string{"roxy get prints"}},
		"a put of whichever":        {[]string{"put", "orders/7", "{}", "--if-match", "*"}, []string{"roxy patch"}},
		"a pattern":                 {[]string{"put", "orders/*", "{}"}, []string{"orders/*"}},
	} {
		t.Run(name, func(t *testing.T) {
			stdout, stderr, err := runRoxy(t, t.TempDir(), env, "", tt.args...)
			if err == nil || stdout != "" || slices.ContainsFunc(tt.want, func(s string) bool { return !strings.Contains(stderr, s) }) {
				t.Errorf("%v, want %q in:\n%s%s", err, tt.want, stdout, stderr)
			}
		})
	}
}

func TestTailWithASnapshotPrintsWhatThereIsThenWhatChanges(t *testing.T) {
	hub := testkit.Start(t, testkit.Config{})
	env := []string{"ROXY_URL=" + hub.URL, "ROXY_TOKEN=" + hub.Token(t, testkit.Claims{User: "boss", Roles: []string{"everything"}})}
	mustRoxy(t, env, "", "put", "tables/1", `{"guests":2}`)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	start := func(device string, args ...string) *bufio.Scanner {
		cmd := exec.CommandContext(ctx, testkit.Binary(t), append([]string{"tail", "tables/*", "--snapshot", "--device", device}, args...)...)
		cmd.Env = append(os.Environ(), env...)
		cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if args == nil { // what people read is on two ways out
			cmd.Stderr = cmd.Stdout
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { cancel(); _ = cmd.Wait() })
		return bufio.NewScanner(out)
	}
	lines, people := start("bar-1", "--json"), start("bar-2")
	next := func() (p printed) {
		if !lines.Scan() {
			t.Fatal(lines.Err())
		}
		if err := json.Unmarshal(lines.Bytes(), &p); err != nil {
			t.Fatalf("%s: %v", lines.Bytes(), err)
		}
		return p
	}
	if p := next(); !p.Snapshot {
		t.Errorf("begins with %+v", p)
	}
	if p := next(); p.Topic != "tables/1" || p.Version != 1 || p.Type != "roxy:entity" || string(p.Data) != `{"guests":2}` || p.Cursor != "" {
		t.Errorf("then %+v", p)
	}
	if p := next(); !p.Live || p.Cursor == "" {
		t.Errorf("then %+v", p)
	}
	said := func(parts ...string) {
		if !people.Scan() || slices.ContainsFunc(parts, func(s string) bool { return !strings.Contains(people.Text(), s) }) {
			t.Errorf("people read %q, want %q", people.Text(), parts)
		}
	}
	said("what there is")
	said("tables/1", "entity", `version 1 {"guests":2}`)
	said("that is all, as of")

	mustRoxy(t, env, "", "patch", "tables/1", `{"guests":3}`, "--id", "m-1", "--device", "bar-1", "--type", "table:joined")
	got := []printed{next(), next()} // the receipt has a way of its own
	slices.SortFunc(got, func(a, b printed) int { return strings.Compare(string(a.Receipt), string(b.Receipt)) })
	if p := got[0]; p.Topic != "tables/1" || p.Type != "table:joined" || p.Op != "patch" || p.Version != 2 || string(p.Patch) != `{"guests":3}` || p.Mutation != "m-1" || p.Data != nil {
		t.Errorf("changed by %+v", p)
	}
	if p := got[1]; p.Receipt != "committed" || p.Mutation != "m-1" || p.Version != 2 {
		t.Errorf("the receipt is %+v", p)
	}
	said("tables/1", "table:joined", `version 2 patch {"guests":3}`)
	mustRoxy(t, env, "", "delete", "tables/1", "--id", "m-2", "--device", "bar-2")
	read := []string{}
	for range 2 {
		people.Scan()
		read = append(read, people.Text())
	}
	if all := strings.Join(read, "\n"); !strings.Contains(all, "version 3 delete") || !strings.Contains(all, "mutation m-2 of tables/1: committed") {
		t.Errorf("people read %q", read)
	}
	if p := next(); p.Op != "delete" || p.Version != 3 || p.Patch != nil {
		t.Errorf("deleted by %+v", p)
	}
}
