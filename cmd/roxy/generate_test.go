package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestGenerateWritesTypesOnceAndLeavesThemAsTheyAre(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"schemas/order.json": `{"x-topic":"orders/*","type":"object","properties":{"total":{"$ref":"money.json"}}}`,
		"schemas/new.json":   `{"title":"New order","x-event":["order:new","order:again"],"type":"object"}`,
		"schemas/money.json": `{"type":"integer"}`,
		"secret":             strings.Repeat("x", 40),
		"roxy.yaml":          "auth: { keys: [{ alg: HS256, secretFile: secret }] }\nschemas: schemas\n",
		"plain.yaml":         "auth: { keys: [{ alg: HS256, secretFile: secret }] }\n",
		"bad/a.json":         `{"x-topic":"//"}`,
	} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	run := func(args ...string) (string, string) {
		t.Helper()
		stdout, stderr, err := runRoxy(t, dir, nil, "", args...)
		if err != nil {
			t.Fatalf("%v: %v\n%s", args, err, stderr)
		}
		return stdout, stderr
	}
	stdout, stderr := run("generate", "typescript", "--config", "roxy.yaml")
	if !strings.Contains(stdout, `"order:new": NewOrder;`) || stderr != "wrote 3 types, 2 events, 1 entities\n" {
		t.Errorf("%s%s", stdout, stderr)
	}
	if nothing, stderr := run("generate", "typescript", "--schemas", "schemas", "--out", "roxy.ts"); nothing != "" || stderr != "wrote roxy.ts: 3 types, 2 events, 1 entities\n" {
		t.Errorf("%s%s", nothing, stderr)
	}
	file := filepath.Join(dir, "roxy.ts")
	text, err := os.ReadFile(file)
	if err != nil || string(text) != stdout {
		t.Fatalf("%v: the file has other text", err)
	}
	if err := os.Chmod(file, 0o400); err != nil {
		t.Fatal(err)
	}
	before, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	if _, stderr := run("generate", "typescript", "--schemas", "schemas", "--out", "roxy.ts"); !strings.HasPrefix(stderr, "roxy.ts is up to date: ") {
		t.Error(stderr)
	}
	if after, err := os.Stat(file); err != nil || !after.ModTime().Equal(before.ModTime()) {
		t.Errorf("%v: it was written again", err)
	}
	if stdout, _ := run("check", "roxy.yaml"); !strings.Contains(stdout, "checks      schemas of 2 events and 1 entities") {
		t.Error(stdout)
	}
	for want, args := range map[string][]string{
		"name their folder with --schemas":   {},
		"leave one of them out":              {"--schemas", "schemas", "--config", "roxy.yaml"},
		"plain.yaml names no schemas":        {"--config", "plain.yaml"},
		"a.json#/x-topic":                    {"--schemas", "bad"},
		"name a folder of *.json files":      {"--schemas", "nowhere"},
		"write the types: open nowhere/x.ts": {"--schemas", "schemas", "--out", "nowhere/x.ts"},
	} {
		if stdout, stderr, err := runRoxy(t, dir, nil, "", append([]string{"generate", "typescript"}, args...)...); err == nil || stdout != "" || !strings.Contains(stderr, want) {
			t.Errorf("%v: %v, want %q in\n%s", args, err, want, stderr)
		}
	}
}
