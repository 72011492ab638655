package config

import (
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

var update = flag.Bool("update", os.Getenv("ROXY_UPDATE_GOLDEN") != "", "write the golden files anew")

func TestGoodFileIsReadWhole(t *testing.T) {
	c, err := Load(Sources{File: "testdata/good.yaml"})
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Listen) != 2 || c.Listen[1] != "127.0.0.1:8443" || c.Data != "testdata/data" || len(c.Keys) != 2 || string(c.Keys[0].Secret) != "0123456789abcdef0123456789abcdef0123456789" {
		t.Errorf("listen %v, data %s, %d keys", c.Listen, c.Data, len(c.Keys))
	}
	if c.Retention.Bytes != 1<<30 || c.Stream.Heartbeat != 20*time.Second || c.Limits.Publish.Rate != 2.5 || c.Limits.Event != 32<<10 || len(c.TrustedProxies) != 2 {
		t.Errorf("got %+v", c.Config)
	}
	if g := c.Grants(); len(g["waiter"].Read) != 1 || g["waiter"].Publish[0].String() != "calls/**" || !g["manager"].Admin || g["waiter"].Admin {
		t.Errorf("grants %+v", g)
	}
}

// Each file of testdata/bad is refused, with every error in its place: the golden file beside it has the text.
func TestBadFilesAreRefusedWithEveryErrorInItsPlace(t *testing.T) {
	files, err := filepath.Glob("testdata/bad/*.yaml")
	if err != nil || len(files) < 5 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			_, err := Load(Sources{File: file})
			if err == nil {
				t.Fatal("accepted")
			}
			golden := strings.TrimSuffix(file, "yaml") + "txt"
			if *update {
				if err := os.WriteFile(golden, []byte(err.Error()+"\n"), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, readErr := os.ReadFile(golden)
			if readErr != nil {
				t.Fatal(readErr)
			}
			if err.Error()+"\n" != string(want) {
				t.Errorf("got:\n%v\nwant:\n%s", err, want)
			}
			if strings.Contains(err.Error(), "0123456789abcdef") {
				t.Error("the error holds the secret")
			}
		})
	}
}

func TestEnvironmentWinsOverTheFileAndFlagsOverBoth(t *testing.T) {
	env := map[string]string{
		"ROXY_ADMIN_LISTEN": "127.0.0.1:1", "ROXY_LIMITS_CONNECTIONS_PER_IP": "7", "ROXY_CORS_ORIGINS": "https://a.example, https://b.example",
		"ROXY_POLICY_ROLES": `{till: {read: ["payments/**"]}}`, "ROXY_LISTEN": "127.0.0.1:2",
		"ROXY_AUTH_KEYS": `[{alg: HS256, secret: "a secret of more than thirty-two bytes"}]`,
	}
	lookup := func(name string) (string, bool) { s, ok := env[name]; return s, ok }
	c, err := Load(Sources{File: "testdata/good.yaml", Env: lookup, Flags: map[string]string{"listen": "127.0.0.1:3,127.0.0.1:4", "log-level": "debug"}})
	if err != nil {
		t.Fatal(err)
	}
	if c.Admin.Listen != "127.0.0.1:1" || c.Limits.Connections.PerIP != 7 || len(c.CORS.Origins) != 2 || len(c.Policy.Roles) != 1 || len(c.Keys) != 1 {
		t.Errorf("the environment is not in force: %+v", c.Config)
	}
	if !slices.Equal(c.Listen, []Address{"127.0.0.1:3", "127.0.0.1:4"}) || c.Log.Level.String() != "debug" {
		t.Errorf("the flags are not in force: %v, %v", c.Listen, c.Log.Level)
	}
	if s := fmt.Sprintf("%v %+v %#v", c.Auth.Keys, c.Config, c.Auth.Keys); strings.Contains(s, "thirty-two") {
		t.Error("printing the configuration prints the secret")
	}
	env["ROXY_LIMITS_BATCH"] = "many"
	if _, err := Load(Sources{Env: lookup}); err == nil || !strings.HasPrefix(err.Error(), "ROXY_LIMITS_BATCH: limits.batch: ") {
		t.Errorf("got %v", err)
	}
}

func TestDefaultsAreThoseOfTheFileThatSpellsThemOut(t *testing.T) {
	c, err := Load(Sources{File: "testdata/defaults.yaml"})
	if err != nil {
		t.Fatal(err)
	}
	want := reflect.ValueOf(Default()).Elem()
	got := reflect.ValueOf(c.Config).Elem()
	text, err := os.ReadFile("testdata/defaults.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range Keys() {
		if name := k.Key[strings.LastIndex(k.Key, ".")+1:]; !strings.Contains(string(text), name+":") {
			t.Errorf("the file does not have %s", k.Key)
		}
		g, w := spell(got.FieldByIndex(k.index)), spell(want.FieldByIndex(k.index))
		if k.Key == "data" {
			w = filepath.Join("testdata", w)
		}
		if k.Key != "auth.keys" && g != w {
			t.Errorf("%s: %s in the file, by default %s", k.Key, g, w)
		}
	}
}

func TestSecretIsNotQuotedFromTheEnvironmentEither(t *testing.T) {
	const secret = "0123456789abcdef0123456789abcdef"
	for _, text := range []string{secret, "[" + secret + "]", "[{alg: HS256, secret: [" + secret + "]}]", `[{alg: HS256, secret: "` + secret + `}]`} {
		_, err := Load(Sources{Env: func(name string) (string, bool) { return text, name == "ROXY_AUTH_KEYS" }})
		if err == nil || strings.Contains(err.Error(), secret) || !utf8.ValidString(err.Error()) {
			t.Errorf("%q", err)
		}
	}
}

func TestSecretFileThatEverybodyCanReadIsWarnedOf(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"secret": strings.Repeat("x", 40), "roxy.yaml": "auth: { keys: [{ alg: HS256, secretFile: secret }] }\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for mode, want := range map[os.FileMode]int{0o600: 0, 0o640: 0, 0o644: 1} {
		if err := os.Chmod(filepath.Join(dir, "secret"), mode); err != nil {
			t.Fatal(err)
		}
		c, err := Load(Sources{File: filepath.Join(dir, "roxy.yaml")})
		if err != nil || len(c.Warnings) != want {
			t.Errorf("mode %o: %v, %v", mode, c.Warnings, err)
		} else if want > 0 && !strings.HasPrefix(c.Warnings[0], "roxy.yaml:1: auth.keys[0]: ") {
			t.Errorf("the warning has no place: %s", c.Warnings[0])
		}
	}
}

func TestSizeIsReadAsItIsWritten(t *testing.T) {
	for text, want := range map[string]Size{"0": 0, "1000": 1000, "64KiB": 64 << 10, "4GiB": 4 << 30, "1 MiB": 1 << 20, "-1": -1, "4GB": -1, "": -1, "9999999TiB": -1, "KiB": -1} {
		var s Size
		err := s.UnmarshalText([]byte(text))
		if (err != nil) != (want < 0) || err == nil && s != want {
			t.Errorf("%q: %d, %v", text, s, err)
		}
	}
	if s := Size(64 << 10).String(); s != "64KiB" {
		t.Error(s)
	}
}

// The page has a row for each key, in order, and none for another.
func TestConfigurationPageHasEveryKey(t *testing.T) {
	var table strings.Builder
	for _, k := range Keys() {
		fmt.Fprintf(&table, "| `%s` | %s | %s |\n", k.Key, code(k.Default), strings.ReplaceAll(k.Doc, "|", "\\|"))
	}
	page := "../../docs/configuration.md"
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	const begin, end = "| key | default | meaning |\n|---|---|---|\n", "\n<!-- end of the keys -->"
	before, rest, ok := strings.Cut(string(text), begin)
	old, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no table between %q and %q", page, begin, end)
	}
	if old == table.String() {
		return
	}
	if !*update {
		t.Fatalf("the table in %s differs from the keys: write it anew with make golden", page)
	}
	if err := os.WriteFile(page, []byte(before+begin+table.String()+end+after), 0o600); err != nil { //nolint:gosec // a page of this repository
		t.Fatal(err)
	}
}

func code(s string) string {
	if s == "" {
		return ""
	}
	return "`" + s + "`"
}

func TestEveryKeyHasNamesOfItsOwnAndASentence(t *testing.T) {
	seen := map[string]bool{}
	for _, k := range Keys() {
		if k.Doc == "" || seen[k.Flag] || seen[k.Env] {
			t.Errorf("%+v", k)
		}
		seen[k.Flag], seen[k.Env] = true, true
	}
	for _, flag := range []string{"limits-connections-attempts-per-ip", "limits-topics-per-stream", "trusted-proxies", "admin-listen"} {
		if !seen[flag] {
			t.Errorf("no --%s among %v", flag, slices.Sorted(maps.Keys(seen)))
		}
	}
}

func FuzzLoad(f *testing.F) {
	files, err := filepath.Glob("testdata/*.yaml")
	bad, err2 := filepath.Glob("testdata/bad/*.yaml")
	if err := errors.Join(err, err2); err != nil {
		f.Fatal(err)
	}
	for _, file := range append(files, bad...) {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	f.Fuzz(func(t *testing.T, text string) {
		file := filepath.Join(t.TempDir(), "roxy.yaml")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if c, err := Load(Sources{File: file}); err == nil && (len(c.Keys) == 0 || len(c.Listen) == 0) {
			t.Fatalf("accepted a configuration without keys or listeners: %q", text)
		}
	})
}
