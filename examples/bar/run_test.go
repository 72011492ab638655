package bar_test

import (
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// What `make run` starts: the hub is built, started and played to, and ends with the evening.
func TestRunPlaysTheEvening(t *testing.T) {
	r := newRun(t, "BAR_SPEED=0", "BAR_LIMIT=60", "BAR_ONCE=1")
	out, err := r.cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{"the evening is over: 60 events", "--token-file " + filepath.Join(r.state, "kitchen.token"), "curl -N"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("does not say %q:\n%s", want, out)
		}
	}
	if r.listens(t) {
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

// Stopped in the middle of the evening, run.sh takes the hub with it and keeps the night to go on with.
func TestRunStopsCleanly(t *testing.T) {
	r := newRun(t, "BAR_SPEED=1") // nobody waits for eight hours
	out, err := r.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	for buf := make([]byte, 1024); !strings.Contains(said.String(), "kitchen.token"); {
		n, err := out.Read(buf)
		if err != nil {
			t.Fatalf("%v after\n%s", err, said.String())
		}
		said.Write(buf[:n])
	}
	if err := r.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	var exit *exec.ExitError
	if err := r.cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != 128+int(syscall.SIGTERM) {
		t.Errorf("ended with %v, want the status of a TERM", err)
	}
	if r.listens(t) {
		t.Error("the hub still listens")
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
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	r := &run{cmd: exec.CommandContext(ctx, "./run.sh"), state: t.TempDir(), listen: freeAddress(t)}
	r.cmd.Cancel = func() error { return r.cmd.Process.Signal(syscall.SIGTERM) } // it has to take the hub with it
	r.cmd.Env = append(os.Environ(), "BAR_LISTEN="+r.listen, "BAR_ADMIN="+freeAddress(t), "BAR_STATE="+r.state, "BAR_BIN="+t.TempDir())
	r.cmd.Env = append(r.cmd.Env, settings...)
	return r
}

func (r *run) listens(t *testing.T) bool {
	t.Helper()
	var dialer net.Dialer
	conn, err := dialer.DialContext(t.Context(), "tcp", r.listen)
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
