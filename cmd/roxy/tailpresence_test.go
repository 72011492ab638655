package main

import (
	"bufio"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/roxyhub/roxy/internal/testkit"
)

func TestTailPrintsWhoIsPresentAndWhoComesAndGoes(t *testing.T) {
	hub := testkit.Start(t, testkit.Config{
		YAML:  "presence: { grace: 1s }\n",
		Roles: `    boss: { read: ["roxy/presence", "orders/*"] }`,
	})
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	start := func(args ...string) (out *bufio.Scanner, stop func()) {
		cmd := exec.CommandContext(ctx, testkit.Binary(t), append([]string{"tail"}, args...)...)
		cmd.Env = append(os.Environ(), "ROXY_URL="+hub.URL, "ROXY_TOKEN="+hub.Token(t, testkit.Claims{User: args[0], Roles: []string{"boss"}}))
		cmd.Args = append(cmd.Args[:2], cmd.Args[3:]...)
		cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
		pipe, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		cmd.Stderr = cmd.Stdout
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		stop = func() { _ = cmd.Cancel(); _ = cmd.Wait() }
		t.Cleanup(stop)
		return bufio.NewScanner(pipe), stop
	}
	people, _ := start("ann", "roxy/presence")
	said := func(want string) {
		for people.Scan() {
			if strings.Contains(people.Text(), want) {
				return
			}
		}
		t.Fatalf("nobody said %q", want)
	}
	said("ann")
	lines, _ := start("bob", "roxy/presence", "--json", "--device", "bobs")
	next := func(all bool) *presentLine {
		t.Helper()
		var p printed
		if !lines.Scan() {
			t.Fatal(lines.Err())
		}
		if err := json.Unmarshal(lines.Bytes(), &p); err != nil || p.Presence == nil || p.Presence.All != all {
			t.Fatalf("%s: %v", lines.Bytes(), err)
		}
		return p.Presence
	}
	next(true)
	said("joined   bob by bobs")
	_, stop := start("ann", "orders/*", "--device", "phone")
	for {
		p := next(false)
		if len(p.Joined) > 0 && p.Joined[0].Device == "phone" {
			if *p.Joined[0].Others != 1 || p.Joined[0].Since == nil {
				t.Errorf("joined %+v", p.Joined[0])
			}
			break
		}
	}
	said("joined   ann by phone (present by 1 more)")
	stop()
	if p := next(false); len(p.Left) != 1 || p.Left[0].User != "ann" || p.Left[0].Until == nil {
		t.Errorf("left %+v", p.Left)
	}
	said("left     ann by phone (present by 1 more)")
}
