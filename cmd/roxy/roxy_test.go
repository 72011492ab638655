package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/roxyhub/roxy/internal/testkit"
)

// runRoxy runs the real binary and returns what it prints; dir is where it runs.
func runRoxy(t *testing.T, dir string, env []string, stdin string, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, testkit.Binary(t), args...)
	cmd.Dir, cmd.Env, cmd.Stdin = dir, append(os.Environ(), env...), strings.NewReader(stdin)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err = cmd.Run()
	return out.String(), errs.String(), err
}

func mustRoxy(t *testing.T, env []string, stdin string, args ...string) string {
	t.Helper()
	stdout, stderr, err := runRoxy(t, t.TempDir(), env, stdin, args...)
	if err != nil {
		t.Fatalf("roxy %s: %v\n%s", strings.Join(args, " "), err, stderr)
	}
	return stdout
}

func TestTokenPublishAndTailWorkTogether(t *testing.T) {
	hub := testkit.Start(t, testkit.Config{})
	token := mustRoxy(t, nil, "", "token", "--config", hub.ConfigFile(), "--sub", "boss", "--roles", "everything")
	env := []string{"ROXY_TOKEN=" + strings.TrimSpace(token), "ROXY_URL=" + hub.URL}

	first := mustRoxy(t, env, "", "publish", "orders/7", `{"table":7}`, "--type", "order:new", "--id", "k1", "--role", "kitchen,everything")
	if again := mustRoxy(t, env, "", "publish", "orders/7", `{"table":7}`, "--type", "order:new", "--id", "k1", "--role", "kitchen,everything"); again != first {
		t.Errorf("a repeat stands at %s, the first at %s", again, first)
	}
	lines := `{"topic":"orders/8","type":"order:new","data":{"table":8}}` + "\n" + `{"topic":"tables/1","data":null,"to":{"roles":["everything"]},"ttl":"1h"}` + "\n"
	if out := mustRoxy(t, env, lines, "publish", "--ndjson"); out != "2 events published\n" {
		t.Error(out)
	}

	// tail goes on where its cursor file says, across its own end.
	state := filepath.Join(t.TempDir(), "cursor")
	if got := tailSome(t, env, 2, "orders/*", "--after", "earliest", "--json", "--cursor-file", state); got[0].Topic != "orders/7" || got[1].Topic != "orders/8" || string(got[1].Data) != `{"table":8}` {
		t.Errorf("got %+v", got)
	}
	mustRoxy(t, env, `"from standard input"`, "publish", "orders/9", "-")
	if got := tailSome(t, env, 1, "orders/*", "--json", "--cursor-file", state); string(got[0].Data) != `"from standard input"` {
		t.Errorf("resumed with %+v", got)
	}
}

// tailSome returns the first n events that roxy tail prints, and ends it as Ctrl-C does.
func tailSome(t *testing.T, env []string, n int, args ...string) []printed {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, testkit.Binary(t), append([]string{"tail"}, args...)...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var got []printed
	dec := json.NewDecoder(out)
	for len(got) < n {
		var p printed
		if err := dec.Decode(&p); err != nil {
			t.Fatal(err)
		}
		got = append(got, p)
	}
	// The position is kept behind what was printed last: give it its moment.
	state := args[len(args)-1]
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		if text, err := os.ReadFile(state); err == nil && strings.TrimSpace(string(text)) == got[n-1].Cursor {
			break
		}
	}
	cancel()
	_ = cmd.Wait()
	return got
}

func TestErrorsSayWhatToDo(t *testing.T) {
	hub := testkit.Start(t, testkit.Config{})
	waiter := []string{"ROXY_URL=" + hub.URL, "ROXY_TOKEN=" + hub.Token(t, testkit.Claims{User: "waiter-1", Roles: []string{"waiter"}})}
	occupied := strings.TrimPrefix(hub.URL, "http://")
	for name, tt := range map[string]struct {
		env  []string
		args []string
		want string
	}{
		"no token":              {[]string{"ROXY_TOKEN="}, []string{"publish", "orders/1"}, "set ROXY_TOKEN"},
		"no topic":              {waiter, []string{"publish"}, "Name a topic"},
		"bad topic":             {waiter, []string{"publish", "a//b"}, "segment 2: empty"},
		"data that is not JSON": {waiter, []string{"publish", "orders/1", "two beers"}, "quotes"},
		"not granted":           {waiter, []string{"publish", "payments/1", "1"}, "forbidden"},
		"pattern not granted":   {waiter, []string{"tail", "**"}, "forbidden"},
		"no such file":          {nil, []string{"check", "nowhere.yaml"}, "nowhere.yaml"},
		"unknown command":       {nil, []string{"serv"}, "serve"},
		"address in use":        {[]string{"ROXY_TOKEN="}, []string{"serve", "--listen", occupied}, "choose another address"},
		"data in use":           {nil, []string{"serve", "--config", hub.ConfigFile()}, "another hub"},
		"reachable from afar":   {nil, []string{"serve", "--listen", "0.0.0.0:0"}, "loopback only"},
		"no secret":             {nil, []string{"token", "--sub", "u"}, "--secret-file"},
	} {
		t.Run(name, func(t *testing.T) {
			_, stderr, err := runRoxy(t, t.TempDir(), tt.env, "", tt.args...)
			if err == nil || !strings.Contains(stderr, tt.want) {
				t.Errorf("%v, want %q in:\n%s", err, tt.want, stderr)
			}
		})
	}
}

func TestCheckSaysWhatIsWrongOrWhatItSetsUp(t *testing.T) {
	hub := testkit.Start(t, testkit.Config{})
	if out := mustRoxy(t, nil, "", "check", hub.ConfigFile()); !strings.Contains(out, "is good") || !strings.Contains(out, "HS256") || !strings.Contains(out, "kitchen, manager, waiter") {
		t.Error(out)
	}
	bad := filepath.Join(t.TempDir(), "bad.yaml")
	if err := os.WriteFile(bad, []byte("lisen: x\nlog: { level: loud }\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, stderr, err := runRoxy(t, t.TempDir(), nil, "", "check", bad); err == nil || !strings.Contains(stderr, "bad.yaml:1: lisen") || !strings.Contains(stderr, "bad.yaml:2: log.level") {
		t.Errorf("%v\n%s", err, stderr)
	}
}

func TestCheckRefusesASecretThatEverybodyCanRead(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "roxy.yaml")
	for name, text := range map[string]string{"secret": strings.Repeat("x", 40), "roxy.yaml": "auth: { keys: [{ alg: HS256, secretFile: secret }] }\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	mustRoxy(t, nil, "", "check", file)
	if err := os.Chmod(filepath.Join(dir, "secret"), 0o644); err != nil { //nolint:gosec // what the test is about
		t.Fatal(err)
	}
	if stdout, stderr, err := runRoxy(t, dir, nil, "", "check", file); err == nil || stdout != "" || !strings.Contains(stderr, "roxy.yaml:1: auth.keys[0]: ") || !strings.Contains(stderr, "chmod 600") {
		t.Errorf("%v\n%s%s", err, stdout, stderr)
	}
}

func TestLinesThatAreNotOneEventAreRefusedNotLost(t *testing.T) {
	hub := testkit.Start(t, testkit.Config{})
	env := []string{"ROXY_URL=" + hub.URL, "ROXY_TOKEN=" + hub.Token(t, testkit.Claims{User: "boss", Roles: []string{"everything"}})}
	if out := mustRoxy(t, env, "{\"topic\":\"orders/1\"}\n\n{\"topic\":\"orders/2\"}\n \n", "publish", "--ndjson"); out != "2 events published\n" {
		t.Errorf("blank lines between events: %s", out)
	}
	for _, lines := range []string{
		`{"topic":"orders/3"} {"topic":"orders/4"}`, `{"topic":"orders/3"} junk`, `{"topic":"orders/3"}]`, `{"topic":"orders/3","topics":1}`, `{"topic":`, `7`,
	} {
		if stdout, stderr, err := runRoxy(t, t.TempDir(), env, "\n"+lines+"\n", "publish", "--ndjson"); err == nil || stdout != "" || !strings.Contains(stderr, "line 2: ") || !strings.Contains(stderr, "(0 events") {
			t.Errorf("%s: %v\n%s%s", lines, err, stdout, stderr)
		}
	}
}

func TestEmptyCursorFileLeavesTheBeginningToTheFlag(t *testing.T) {
	hub := testkit.Start(t, testkit.Config{})
	env := []string{"ROXY_URL=" + hub.URL, "ROXY_TOKEN=" + hub.Token(t, testkit.Claims{User: "boss", Roles: []string{"everything"}})}
	mustRoxy(t, env, "", "publish", "orders/7", "1")
	state := filepath.Join(t.TempDir(), "cursor")
	if err := os.WriteFile(state, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := tailSome(t, env, 1, "orders/*", "--after", "earliest", "--json", "--cursor-file", state); got[0].Topic != "orders/7" {
		t.Errorf("got %+v", got)
	}
}

// The secret is a named pipe, so that the test holds the hub in its start, and sees it read the configuration again.
func TestHangupDuringAStartReloadsOnceItRuns(t *testing.T) {
	dir := t.TempDir()
	pipe := filepath.Join(dir, "secret")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "roxy.yaml")
	text := "data: data\nlisten: 127.0.0.1:0\nadmin: { listen: 127.0.0.1:0 }\nauth: { keys: [{ alg: HS256, secretFile: secret }] }\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, testkit.Binary(t), "serve", "--config", file)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	var out safeBuffer
	cmd.Stderr = &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	// Opening a pipe to write waits for who reads it: the hub, at its start and again at the reload.
	feed := func(before func()) {
		opened := make(chan error, 1)
		go func() {
			pipe, err := os.OpenFile(pipe, os.O_WRONLY, 0)
			if err == nil {
				before()
				_, err = pipe.WriteString(strings.Repeat("x", 40))
				_ = pipe.Close()
			}
			opened <- err
		}()
		select {
		case err := <-opened:
			if err != nil {
				t.Fatal(err)
			}
		case err := <-ended:
			t.Fatalf("the hub ended with %v:\n%s", err, out.String())
		}
	}
	until := func(line string) {
		for !strings.Contains(out.String(), line) && ctx.Err() == nil {
			time.Sleep(5 * time.Millisecond)
		}
	}
	feed(func() { _ = cmd.Process.Signal(syscall.SIGHUP) })
	until("listening") // behind the first reading: else what is written next is read by that
	feed(func() {})
	until("policy, schemas and limits reloaded")
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) || cmd.ProcessState.ExitCode() != 0 || !strings.Contains(out.String(), "policy, schemas and limits reloaded") {
		t.Errorf("ended with %v:\n%s", err, out.String())
	}
}

func TestReloadedPolicyIsInForceAndEndsStreamsThatItNoLongerAllows(t *testing.T) {
	hub := testkit.Start(t, testkit.Config{})
	env := []string{"ROXY_URL=" + hub.URL, "ROXY_TOKEN=" + hub.Token(t, testkit.Claims{User: "waiter-1", Roles: []string{"waiter"}})}
	mustRoxy(t, env, "", "publish", "calls/1")
	body := openStream(t, hub, env[1][len("ROXY_TOKEN="):])
	hub.Configure(t, testkit.Config{Roles: `    waiter: { read: ["tables/**"] }`})
	hub.Reload(t)
	if rest := body(); !strings.Contains(rest, `"reason":"revoked"`) {
		t.Errorf("the stream ended with %s", rest)
	}
	if _, stderr, err := runRoxy(t, t.TempDir(), env, "", "publish", "calls/1"); err == nil || !strings.Contains(stderr, "forbidden") {
		t.Errorf("publish: %v\n%s", err, stderr)
	}
	hub.Configure(t, testkit.Config{YAML: "lisen: x\n"})
	deadline := time.Now().Add(20 * time.Second)
	for !strings.Contains(hub.Log(), "the one before stays in force") {
		if time.Now().After(deadline) {
			t.Fatal("a broken configuration was not noticed")
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// openStream subscribes to orders and returns a func that reads the stream to its end.
func openStream(t *testing.T, hub *testkit.Hub, token string) func() string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, hub.URL+"/v1/stream?topic=orders/*", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = resp.Body.Close() })
	if resp.StatusCode != http.StatusOK {
		t.Fatal(resp.Status)
	}
	return func() string {
		var all bytes.Buffer
		_, _ = all.ReadFrom(resp.Body)
		return all.String()
	}
}

func TestDevelopmentHubTeachesAndItsTokenWorks(t *testing.T) {
	dir := t.TempDir()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, testkit.Binary(t), "serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0")
	cmd.Dir = dir
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	var out safeBuffer
	cmd.Stderr = &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for !strings.Contains(out.String(), "For production") && ctx.Err() == nil {
		time.Sleep(5 * time.Millisecond)
	}
	_, line, _ := strings.Cut(out.String(), "listener=public ")
	line, _, _ = strings.Cut(line, "\n")
	_, address, _ := strings.Cut(line, "address=")
	_, token, _ := strings.Cut(out.String(), "export ROXY_TOKEN=")
	token, _, _ = strings.Cut(token, "\n")
	env := []string{"ROXY_TOKEN=" + token, "ROXY_URL=http://" + address}
	mustRoxy(t, env, "", "publish", "orders/7", "1")
	own, _, err := runRoxy(t, dir, nil, "", "token", "--sub", "developer", "--roles", "developer")
	if err != nil {
		t.Fatal(err)
	}
	env[0] = "ROXY_TOKEN=" + strings.TrimSpace(own)
	mustRoxy(t, env, "", "publish", "orders/7", "2")
	if info, err := os.Stat(filepath.Join(dir, "data", developmentSecret)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the secret's file: %v, %v", info, err)
	}
	cancel()
	if err := cmd.Wait(); err != nil && cmd.ProcessState.ExitCode() != 0 {
		t.Errorf("the hub ended with %v:\n%s", err, out.String())
	}
}

// What is taught can be pasted: with TLS the URLs say so.
func TestDevelopmentHubWithTLSTeachesItsURL(t *testing.T) {
	dir := t.TempDir()
	certificate, key := filepath.Join(dir, "certificate.pem"), filepath.Join(dir, "key.pem")
	testkit.Certify(t, certificate, key)
	address := testkit.FreeAddress(t)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, testkit.Binary(t), "serve", "--listen", address, "--admin-listen", "127.0.0.1:0", "--tls-certificate", certificate, "--tls-key", key)
	cmd.Dir = dir
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	var out safeBuffer
	cmd.Stderr = &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for !strings.Contains(out.String(), "For production") && ctx.Err() == nil {
		time.Sleep(5 * time.Millisecond)
	}
	if taught := out.String(); !strings.Contains(taught, "roxy tail --url https://"+address) || strings.Contains(taught, "http://"+address) {
		t.Error(taught)
	}
	cancel()
	_ = cmd.Wait() // interrupted
}

func TestStopEndsStreamsWithAByeAndExitsCleanly(t *testing.T) {
	hub := testkit.Start(t, testkit.Config{})
	body := openStream(t, hub, hub.Token(t, testkit.Claims{User: "waiter-1", Roles: []string{"waiter"}}))
	hub.Stop(t)
	if rest := body(); !strings.Contains(rest, `"reason":"drain"`) {
		t.Errorf("the stream ended with %s", rest)
	}
	hub.Restart(t)
}

func TestHelpTeaches(t *testing.T) {
	help := mustRoxy(t, nil, "", "--help")
	for _, want := range []string{"roxy serve", "roxy tail", "roxy publish", "check", "token"} {
		if !strings.Contains(help, want) {
			t.Errorf("no %q in\n%s", want, help)
		}
	}
	if out := mustRoxy(t, nil, "", "serve", "--help"); !strings.Contains(out, "--limits-connections-per-ip") || !strings.Contains(out, "(default 100)") {
		t.Errorf("serve --help lacks the keys:\n%s", out)
	}
}
