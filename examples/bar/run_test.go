package bar_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	bar "github.com/roxyhub/roxy/examples/bar"
)

// What `make run` starts: the hub is built, started and played to, and ends with the evening.
func TestRunPlaysTheEvening(t *testing.T) {
	r := newRun(t, "BAR_SPEED=0", "BAR_LIMIT=60", "BAR_ONCE=1", "BAR_WEB=")
	out, err := r.cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{"the evening is over: 60 events", "--token-file " + filepath.Join(r.state, "kitchen.token"), "curl -N"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("does not say %q:\n%s", want, out)
		}
	}
	if listens(t, r.listen) {
		t.Error("the hub still listens")
	}
	info, err := os.Stat(filepath.Join(r.state, "dev.secret"))
	if err != nil {
		t.Fatal(err)
	}
	if mode := info.Mode().Perm(); mode != 0o600 {
		t.Errorf("dev.secret has the mode %o, want 600", mode)
	}
}

// Stopped in the middle of the evening, run.sh takes the hub and the app with it and keeps the night to go on with.
func TestRunServesTheAppAndStopsCleanly(t *testing.T) {
	web := freeAddress(t)
	r := newRun(t, "BAR_SPEED=1", "BAR_WEB="+web) // nobody waits for eight hours
	out, err := r.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	open := "The bar is open: http://" + web
	for buf := make([]byte, 1024); !strings.Contains(said.String(), "kitchen.token") || !strings.Contains(said.String(), open); {
		n, err := out.Read(buf)
		if err != nil {
			t.Fatalf("%v after\n%s", err, said.String())
		}
		said.Write(buf[:n])
	}
	if page := get(t, "http://"+web+"/", ""); !strings.Contains(page, `<div id="root">`) {
		t.Errorf("the app is not served: %s", page)
	}
	secret, err := os.ReadFile(filepath.Join(r.state, "dev.secret"))
	if err != nil {
		t.Fatal(err)
	}
	token, err := bar.Token(bytes.TrimSpace(secret), "waiter-1", []string{"waiter"}, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if house := get(t, "http://"+r.listen+"/v1/entities?match=tables/*", token); strings.Count(house, `"status":"free"`) != 20 {
		t.Errorf("not twenty free tables: %s", house)
	}
	if err := r.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	var exit *exec.ExitError
	if err := r.cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != 128+int(syscall.SIGTERM) {
		t.Errorf("ended with %v, want the status of a TERM", err)
	}
	if listens(t, r.listen) || listens(t, web) {
		t.Error("the hub or the app still listens")
	}
	if _, err := os.Stat(filepath.Join(r.state, "night")); err != nil {
		t.Error(err)
	}
}

// run is a start of run.sh with everything of its own.
type run struct {
	cmd           *exec.Cmd
	state, listen string
}

func newRun(t *testing.T, settings ...string) *run {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute) // where nothing is built yet
	t.Cleanup(cancel)
	r := &run{cmd: exec.CommandContext(ctx, "./run.sh"), state: t.TempDir(), listen: freeAddress(t)}
	r.cmd.Cancel = func() error { return r.cmd.Process.Signal(syscall.SIGTERM) } // it has to take the hub with it
	r.cmd.Env = append(os.Environ(), "BAR_LISTEN="+r.listen, "BAR_ADMIN="+freeAddress(t), "BAR_STATE="+r.state, "BAR_BIN="+t.TempDir())
	r.cmd.Env = append(r.cmd.Env, settings...)
	return r
}

// get returns what is at a URL, for who has the token if one is given.
func get(t *testing.T, url, token string) string {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	answer, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func listens(t *testing.T, address string) bool {
	t.Helper()
	var dialer net.Dialer
	conn, err := dialer.DialContext(t.Context(), "tcp", address)
	if err != nil {
		return false
	}
	_ = conn.Close()
	return true
}

// freeAddress returns a loopback address where nothing listens now.
func freeAddress(t *testing.T) string {
	t.Helper()
	var config net.ListenConfig
	l, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}
