package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/internal/testkit"
)

func TestTheAuditIsShownExportedAndVerified(t *testing.T) {
	hub := testkit.Start(t, testkit.Config{})
	env := boss(t, hub)
	for i := range 3 {
		mustRoxy(t, env, "", "publish", fmt.Sprintf("orders/%d", i), "{}")
	}
	mustRoxy(t, env, "", "put", "tables/7", `{"guests":4}`)
	if _, _, err := runRoxy(t, t.TempDir(), env, "", "publish", "roxy/x", "{}"); err == nil {
		t.Error("a publish on a topic of the hub's succeeded")
	}
	shown := mustRoxy(t, env, "", "audit", "--kind", "publish,mutation", "--user", "boss")
	lines := strings.Split(strings.TrimSpace(shown), "\n")
	if len(lines) != 4 || !strings.Contains(lines[0], "orders/0") || !strings.Contains(lines[3], "mutation put") || !strings.Contains(lines[3], "version=1") {
		t.Errorf("shown:\n%s", shown)
	}
	if shown = mustRoxy(t, env, "", "audit", "--topic", "orders/*", "--limit", "1", "--from", "1h"); strings.Count(shown, "\n") != 1 || !strings.Contains(shown, "orders/2") {
		t.Errorf("the newest one: %s", shown)
	}
	for flag, value := range map[string]string{"--from": "yesterday", "--kind": "nothing", "--topic": "a//b"} {
		if _, stderr, err := runRoxy(t, t.TempDir(), env, "", "audit", flag, value); err == nil || !strings.Contains(stderr, strings.TrimPrefix(flag, "--")) {
			t.Errorf("%s %s: %v, %q", flag, value, err, stderr)
		}
	}

	dir := t.TempDir()
	export := filepath.Join(dir, "audit.ndjson")
	text := mustRoxy(t, env, "", "audit", "--json")
	if err := os.WriteFile(export, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	told := mustRoxy(t, nil, "", "check", export, "--audit")
	head := regexp.MustCompile(`head (\d+:[0-9a-f]{64})`).FindStringSubmatch(told)
	if head == nil {
		t.Fatal(told)
	}
	mustRoxy(t, nil, "", "check", export, "--audit", "--head", head[1])
	if _, stderr, err := runRoxy(t, dir, nil, "", "check", hub.ConfigFile(), "--audit"); err == nil || !strings.Contains(stderr, "roxy audit --json") {
		t.Errorf("a folder in use: %v, %q", err, stderr)
	}

	hub.Stop(t)
	for _, more := range [][]string{nil, {"--head", head[1]}} {
		told, stderr, err := runRoxy(t, filepath.Dir(hub.ConfigFile()), nil, "", append([]string{"check", hub.ConfigFile(), "--audit"}, more...)...)
		if err != nil || !strings.Contains(told, "audit       default has") {
			t.Errorf("the folder: %v, %s%s", err, told, stderr)
		}
	}
	other := strings.Replace(head[1], ":", ":"+strings.Repeat("0", 8), 1)[:len(head[1])]
	if _, stderr, err := runRoxy(t, filepath.Dir(hub.ConfigFile()), nil, "", "check", hub.ConfigFile(), "--audit", "--head", other); err == nil || !strings.Contains(stderr, "is not there") {
		t.Errorf("another head: %v, %q", err, stderr)
	}
}

// trailOf returns the lines of an export of n rows.
func trailOf(n int) [][]byte {
	hash := roxy.AuditGenesis("bar")
	lines := [][]byte{fmt.Appendf(nil, `{"tenant":"bar","seq":0,"hash":"%s"}`, hash)}
	for i := range n {
		row := roxy.AuditRow{Seq: uint64(i + 1), Kind: roxy.AuditConnect, User: fmt.Sprint("u", i)}
		entry := roxy.AuditEntry{Seq: row.Seq, JSON: row.AppendJSON(nil)}
		hash = hash.Next(entry.JSON)
		entry.Hash = hash
		lines = append(lines, entry.AppendLine(nil))
	}
	return lines
}

func TestAnExportThatWasTamperedWithIsFound(t *testing.T) {
	head := func(lines [][]byte, row int) string {
		entry, _, err := roxy.ParseAuditLine(lines[row])
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(row, ":", entry.Hash)
	}
	whole := trailOf(9)
	last := head(whole, 9)
	verify := func(lines [][]byte, head string) (string, error) {
		return verifyExport(bytes.NewReader(append(bytes.Join(lines, []byte("\n")), '\n')), head)
	}
	for _, noted := range []string{"", last, head(whole, 4)} {
		if told, err := verify(whole, noted); err != nil || !strings.Contains(told, "bar has 9 rows, 1 to 9; head "+last) {
			t.Errorf("%q: %s, %v", noted, told, err)
		}
	}
	if told, err := verify(whole[:1], ""); err != nil || told != "bar has no rows" {
		t.Errorf("%s, %v", told, err)
	}
	for name, tt := range map[string]struct {
		change func(lines [][]byte) [][]byte
		head   string
		want   string
	}{
		"a row is changed":     {func(l [][]byte) [][]byte { l[5] = bytes.Replace(l[5], []byte("u4"), []byte("u5"), 1); return l }, "", "line 6: row 5"},
		"a row is deleted":     {func(l [][]byte) [][]byte { return slices.Delete(l, 5, 6) }, "", "line 6: row 6 stands where row 5 should"},
		"the first is deleted": {func(l [][]byte) [][]byte { return slices.Delete(l, 1, 2) }, "", "line 2: row 2 stands where"},
		"the last are deleted": {func(l [][]byte) [][]byte { return l[:7] }, last, "is not there"},
		"two rows are swapped": {func(l [][]byte) [][]byte { l[5], l[6] = l[6], l[5]; return l }, "", "line 6: row 6"},
		"a row is repeated":    {func(l [][]byte) [][]byte { return slices.Insert(l, 5, l[4]) }, "", "line 6: row 4"},
		"another's genesis":    {func(l [][]byte) [][]byte { l[0] = bytes.Replace(l[0], []byte("bar"), []byte("pub"), 1); return l }, "", "line 1: not the hash before"},
		"it is another trail":  {func([][]byte) [][]byte { return append(trailOf(3), trailOf(9)[4:7]...) }, last, "is not there"},
		"it has no beginning":  {func(l [][]byte) [][]byte { return l[1:] }, "", "line 1: it does not begin"},
		"a row is spelled otherwise": {
			func(l [][]byte) [][]byte {
				l[5] = bytes.Replace(l[5], []byte(`"kind"`), []byte(` "kind"`), 1)
				return l
			}, "", "line 6: audit row 5: not spelled",
		},
		"a row has no hash":   {func(l [][]byte) [][]byte { l[5] = []byte(`{"seq":5}`); return l }, "", "line 6: audit line: no hash"},
		"nothing is there":    {func([][]byte) [][]byte { return nil }, "", "line 1"},
		"the head is no hash": {func(l [][]byte) [][]byte { return l }, "9:x", "--head"},
	} {
		t.Run(name, func(t *testing.T) {
			if told, err := verify(tt.change(trailOf(9)), tt.head); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%s, %v; want %q", told, err, tt.want)
			}
		})
	}
}

func FuzzVerifyExport(f *testing.F) {
	f.Add(bytes.Join(trailOf(3), []byte("\n")), "")
	f.Add([]byte(`{"tenant":"bar","seq":7,"hash":"00"}`), "7:00")
	f.Fuzz(func(_ *testing.T, text []byte, head string) {
		_, _ = verifyExport(bytes.NewReader(text), head) // it says something and ends
	})
}
