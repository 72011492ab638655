package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/roxyhub/roxy/internal/testkit"
)

func TestCheckDataFindsTheEntitiesThatBreakASchema(t *testing.T) {
	hub := testkit.Start(t, testkit.Config{})
	for topic, data := range map[string]string{"orders/1": `{"table":7}`, "orders/2": `{"table":"seven"}`, "orders/3": `{}`, "tables/1": `{}`} {
		if status, answer := call(t, hub, "PUT", hub.URL+"/v1/entities/"+topic, "application/json", data); status != 200 && status != 201 {
			t.Fatalf("put: %d %s", status, answer)
		}
	}
	export := filepath.Join(t.TempDir(), "bar.ndjson")
	mustRoxy(t, boss(t, hub), "", "export", "--out", export)

	folder := filepath.Join(filepath.Dir(hub.ConfigFile()), "schemas")
	if err := os.Mkdir(folder, 0o750); err != nil {
		t.Fatal(err)
	}
	text := `{"x-topic":"orders/*","type":"object","properties":{"table":{"type":"integer"}},"required":["table"]}`
	if err := os.WriteFile(filepath.Join(folder, "order.json"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	hub.Configure(t, testkit.Config{YAML: "schemas: schemas\n"})
	dir := filepath.Dir(hub.ConfigFile())
	check := func(args ...string) (stdout, stderr string, err error) {
		t.Helper()
		return runRoxy(t, dir, nil, "", append([]string{"check", hub.ConfigFile()}, args...)...)
	}
	if _, stderr, err := check(); err != nil {
		t.Fatal(stderr)
	}
	if _, stderr, err := check("--data"); err == nil || !strings.Contains(stderr, "roxy export") {
		t.Errorf("a folder in use: %v, %q", err, stderr)
	}
	if _, stderr, err := check(export); err == nil {
		t.Errorf("an export without --data: %q", stderr)
	}
	hub.Stop(t)
	for name, args := range map[string][]string{"the folder": {"--data"}, "an export": {"--data", export}} {
		stdout, stderr, err := check(args...)
		if err == nil || !strings.Contains(stderr, "2 of 3 entities") || !strings.Contains(stderr, "1 have no schema") {
			t.Errorf("%s: %v, %q", name, err, stderr)
		}
		for _, want := range []string{"default  orders/2  /table: type: ", "default  orders/3  /: required: "} {
			if !strings.Contains(stdout, want) {
				t.Errorf("%s: %q is not in\n%s", name, want, stdout)
			}
		}
	}
	if err := os.WriteFile(filepath.Join(folder, "order.json"), []byte(`{"x-topic":"orders/*","type":"object"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if stdout, stderr, err := check("--data"); err != nil || !strings.Contains(stdout, "3 entities that are as their schemas say") {
		t.Errorf("%v, %q, %s", err, stdout, stderr)
	}
}
