package main

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/roxyhub/roxy/internal/testkit"
)

func TestACriticalEventGoesThroughTheCommandLine(t *testing.T) {
	hub := testkit.Start(t, testkit.Config{})
	env := []string{"ROXY_URL=" + hub.URL, "ROXY_TOKEN=" + hub.Token(t, testkit.Claims{User: "boss", Roles: []string{"everything"}})}
	first := strings.TrimSpace(mustRoxy(t, env, "", "publish", "orders/7", "1", "--ack", "any"))
	if got := mustRoxy(t, env, "", "receipts", first); !strings.Contains(got, "to be confirmed by any: unacked at ") || !strings.Contains(got, "(no-audience)") {
		t.Errorf("before there was a device:\n%s", got)
	}

	// The device is there from its first connection on, whether it is connected or not.
	if got := tailSome(t, env, 1, "orders/*", "--device", "kitchen-1", "--after", "earliest", "--json", "--cursor-file", filepath.Join(t.TempDir(), "cursor")); got[0].Ack != first || got[0].Attempt != 1 {
		t.Errorf("got %+v", got)
	}
	second := strings.TrimSpace(mustRoxy(t, env, "", "publish", "orders/7", "2", "--ack", "device", "--within", "10s", "--attempts", "3"))
	mustRoxy(t, env, `{"topic":"orders/8","ack":{"by":"user","within":"20s"}}`, "publish", "--ndjson")
	if got := mustRoxy(t, env, "", "receipts", second); !strings.Contains(got, "to be confirmed by device: open, attempt 1 of 3 until ") || !strings.Contains(got, "kitchen-1  boss") {
		t.Errorf("before it was confirmed:\n%s", got)
	}
	if got := tailSome(t, env, 2, "orders/*", "--device", "kitchen-1", "--ack", "--json", "--cursor-file", filepath.Join(t.TempDir(), "cursor")); got[0].Ack != second || got[1].Topic != "orders/8" {
		t.Errorf("got %+v", got)
	}
	if got := mustRoxy(t, env, "", "receipts", second); !strings.Contains(got, "to be confirmed by device: acknowledged at ") {
		t.Errorf("after it was confirmed:\n%s", got)
	}

	if got := mustRoxy(t, env, "", "devices"); !strings.Contains(got, "kitchen-1") || !strings.Contains(got, "orders/*") {
		t.Errorf("devices:\n%s", got)
	}
	mustRoxy(t, env, "", "devices", "forget", "kitchen-1")
	if got := mustRoxy(t, env, "", "devices"); strings.Contains(got, "kitchen-1") {
		t.Errorf("devices:\n%s", got)
	}
	for name, tt := range map[string]struct {
		args []string
		want []string // in what is said
	}{
		"who confirms as nobody":        {[]string{"tail", "orders/*", "--ack"}, []string{"--device"}},
		"how without who":               {[]string{"publish", "orders/7", "--within", "10s"}, []string{"--ack any"}},
		"somebody unknown":              {[]string{"publish", "orders/7", "--ack", "all"}, []string{"ack.by", "any"}},
		"a time beyond the bound":       {[]string{"publish", "orders/7", "--ack", "any", "--within", "2h"}, []string{"ack.within"}},
		"receipts of an ordinary event": {[]string{"receipts", strings.TrimSpace(mustRoxy(t, env, "", "publish", "orders/7"))}, []string{"not-found"}},
		"receipts of no cursor":         {[]string{"receipts", "7"}, []string{"cursor"}},
		"a device that is none":         {[]string{"devices", "forget", "kitchen-1"}, []string{"not-found"}},
	} {
		t.Run(name, func(t *testing.T) {
			stdout, stderr, err := runRoxy(t, t.TempDir(), env, "", tt.args...)
			if err == nil || stdout != "" || slices.ContainsFunc(tt.want, func(s string) bool { return !strings.Contains(stderr, s) }) {
				t.Errorf("%v, want %q in:\n%s%s", err, tt.want, stdout, stderr)
			}
		})
	}
}
