// Package testkit runs the real hub for tests: the binary, built once, as a process of its own with real sockets and a
// real disk, that can be killed, stopped and started again.
package testkit

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/roxyhub/roxy/auth"
)

// startTime bounds a start: a slow machine under the race detector recovers a log within it.
const startTime = 60 * time.Second

// policy is that of the bar, and a role that may do everything.
const policy = `
    everything: { read: ["**"], publish: ["**"], write: ["**"], admin: true }
    waiter:     { read: ["orders/**", "tables/**", "calls/**"], publish: ["orders/*", "tables/*", "calls/*"] }
    kitchen:    { read: ["orders/**"], publish: ["orders/*"] }
    manager:    { read: ["**"], publish: ["**"], admin: true }
`

// Config is what a test wants to be different.
type Config struct {
	// YAML is put behind the common configuration: top-level keys that it does not use (cors, limits, retention, stream,
	// log, …).
	YAML string
	// Roles replaces the common policy.roles: lines indented by four.
	Roles string
	// TLS gives the public listener a certificate (Hub.Roots).
	TLS bool
	// TightLimits keeps the default limits, which one machine in place of many clients runs into at once.
	TightLimits bool

	// Race runs a hub that was built with the race detector: it says what it found in its Log.
	Race bool
	// Env is added to the environment: NAME=value.
	Env []string
	// OpenFiles is the limit on open files that the hub starts with; 0 for the test's.
	OpenFiles int
}

// Claims are what a token says.
type Claims = auth.Claims

// Hub is a running hub.
type Hub struct {
	URL, AdminURL string
	Roots         string // PEM file with the certificate that vouches for a hub with TLS

	config Config
	dir    string
	secret []byte
	cmd    *exec.Cmd
	done   chan struct{} // closed when the process has ended
	log    *output
}

// Start runs a hub until the test ends.
func Start(t testing.TB, c Config) *Hub {
	t.Helper()
	public, admin := FreeAddress(t), FreeAddress(t)
	h := &Hub{
		URL: "http://" + public, AdminURL: "http://" + admin, config: c, dir: t.TempDir(),
		secret: []byte(rand.Text() + rand.Text()), log: &output{},
	}
	h.write(t, "secret", string(h.secret))
	if c.TLS {
		h.URL, h.Roots = "https://"+public, filepath.Join(h.dir, "certificate.pem")
		h.Certify(t)
	}
	h.Configure(t, c)
	h.Restart(t)
	t.Cleanup(func() {
		h.Stop(t)
		if t.Failed() {
			t.Logf("the hub's log:\n%s", h.log)
		}
	})
	return h
}

// Configure writes the configuration; a running hub that only has to reload some of it notices within a second.
func (h *Hub) Configure(t testing.TB, c Config) {
	t.Helper()
	roles := c.Roles
	if roles == "" {
		roles = policy
	}
	_, address, _ := strings.Cut(h.URL, "//")
	text := fmt.Sprintf("listen: %s\nadmin:\n  listen: %s\ndata: data\nauth:\n  keys:\n    - { alg: HS256, secretFile: secret }\npolicy:\n  roles:\n%s\n",
		address, strings.TrimPrefix(h.AdminURL, "http://"), strings.Trim(roles, "\n"))
	if !c.TightLimits && !strings.Contains(c.YAML, "limits:") {
		text += `
limits:
  connections: { perIP: 100000, perUser: 100000, perTenant: 100000, attemptsPerIP: 100000 }
  publish: { rate: 10000000, burst: 10000000 }
  publishTenant: { rate: 10000000, burst: 10000000 }
`
	}
	if c.TLS {
		text += "tls: { certificate: certificate.pem, key: key.pem }\n"
	}
	h.write(t, "roxy.yaml", text+c.YAML)
}

// ConfigFile returns the path of the configuration.
func (h *Hub) ConfigFile() string { return filepath.Join(h.dir, "roxy.yaml") }

// DataDir returns the path of the engine's folder.
func (h *Hub) DataDir() string { return filepath.Join(h.dir, "data") }

// Restart starts the hub, which is not running, over the data that it left, and returns when it is ready.
func (h *Hub) Restart(t testing.TB) {
	t.Helper()
	command := []string{h.binary(t), "serve", "--config", h.ConfigFile()}
	if n := h.config.OpenFiles; n > 0 {
		command = append([]string{"sh", "-c", `ulimit -n "$0" && exec "$@"`, strconv.Itoa(n)}, command...)
	}
	h.cmd = exec.Command(command[0], command[1:]...) //nolint:gosec,noctx // it outlives this call; Stop ends it
	h.cmd.Env = append(append(os.Environ(), "ROXY_TOKEN="), h.config.Env...)
	h.cmd.Stderr, h.cmd.Stdout = h.log, h.log
	if err := h.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	h.done = done
	go func() {
		defer close(done)
		_ = h.cmd.Wait() // how it ended is in its log
	}()
	h.awaitReady(t)
}

func (h *Hub) awaitReady(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), startTime)
	defer cancel()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, h.AdminURL+"/readyz", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return
			}
		}
		select {
		case <-h.done:
			t.Fatalf("the hub ended before it was ready:\n%s", h.log)
		case <-ctx.Done():
			t.Fatalf("the hub is not ready after %s: %v\n%s", startTime, err, h.log)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// Kill9 ends the hub as a power cut does, but for the kernel's buffers.
func (h *Hub) Kill9(t testing.TB) {
	t.Helper()
	h.signal(t, syscall.SIGKILL)
}

// Stop asks the hub to end and waits for that.
func (h *Hub) Stop(t testing.TB) {
	t.Helper()
	h.signal(t, syscall.SIGTERM)
}

// Ended waits for a hub that leaves by itself, and reports whether it did so with status 0.
func (h *Hub) Ended(t testing.TB) bool {
	t.Helper()
	select {
	case <-h.done:
	case <-time.After(30 * time.Second):
		t.Fatalf("the hub did not leave within 30 s:\n%s", h.log)
	}
	return h.cmd.ProcessState.Success()
}

// Reload sends SIGHUP.
func (h *Hub) Reload(t testing.TB) {
	t.Helper()
	if err := h.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
}

// Log returns what the hub has logged so far.
func (h *Hub) Log() string { return h.log.String() }

// PID returns the hub's process id.
func (h *Hub) PID() int { return h.cmd.Process.Pid }

func (h *Hub) signal(t testing.TB, s os.Signal) {
	t.Helper()
	_ = h.cmd.Process.Signal(s) // it may have ended already
	select {
	case <-h.done:
	case <-time.After(30 * time.Second):
		_ = h.cmd.Process.Kill()
		<-h.done
		t.Errorf("the hub did not end within 30 s of %s:\n%s", s, h.log)
	}
}

// Token returns a token for the hub, good for an hour unless claims say otherwise.
func (h *Hub) Token(t testing.TB, claims Claims) string {
	t.Helper()
	if claims.Expires.IsZero() {
		claims.Expires = time.Now().Add(time.Hour)
	}
	token, err := auth.SignDevelopment(h.secret, claims)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func (h *Hub) write(t testing.TB, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(h.dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// FreeAddress returns a loopback address where nothing listens now.
func FreeAddress(t testing.TB) string {
	t.Helper()
	var listen net.ListenConfig
	l, err := listen.Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

// Binary returns the path of the roxy binary, built from this checkout. The go command's cache makes a second build
// quick.
func Binary(t testing.TB) string {
	t.Helper()
	return built(t, plain)
}

// binary returns the program that h runs.
func (h *Hub) binary(t testing.TB) string {
	t.Helper()
	if h.config.Race {
		return built(t, racing)
	}
	return built(t, plain)
}

func built(t testing.TB, build func() (string, error)) string {
	t.Helper()
	path, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

//nolint:gochecknoglobals // once in a test process
var (
	plain  = sync.OnceValues(func() (string, error) { return build("roxy-test") })
	racing = sync.OnceValues(func() (string, error) { return build("roxy-race", "-race") })
)

// build builds the program under a name of its own.
func build(name string, flags ...string) (string, error) {
	_, file, _, ok := runtime.Caller(0)
	if !ok {
		return "", fmt.Errorf("testkit: no source path: build the tests without -trimpath")
	}
	root := filepath.Join(filepath.Dir(file), "..", "..")
	path := filepath.Join(root, "bin", name)
	// Test processes of several packages may build at once: each writes its own file and renames it.
	fresh := fmt.Sprintf("%s.%d", path, os.Getpid())
	cmd := exec.Command("go", append(append([]string{"build"}, flags...), "-o", fresh, "./cmd/roxy")...) //nolint:gosec,noctx // fixed words
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("testkit: go build ./cmd/roxy: %w\n%s", err, out)
	}
	return path, os.Rename(fresh, path)
}

// output collects what a process writes.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}
