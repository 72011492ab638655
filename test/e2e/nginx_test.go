package e2e

import (
	"bytes"
	"crypto/tls"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/roxyhub/roxy/internal/testkit"
)

// site is nginx's configuration in docs/operations.md, as it stands there.
func site(t *testing.T) string {
	t.Helper()
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "operations.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(page), "\n    upstream roxy {")
	text, _, end := strings.Cut(rest, "\n    }\n")
	if !ok || !end {
		t.Fatal("docs/operations.md has no configuration of nginx")
	}
	return "upstream roxy {" + text + "\n    }"
}

var (
	tlsLines    = regexp.MustCompile(`(?m)^ *ssl_certificate.*\n`)
	streamLines = regexp.MustCompile(`(?m)^ *proxy_(http_version 1\.1|set_header Connection "");\n`)
)

// withoutTLS leaves out what the page says about it.
func withoutTLS(site string) string {
	return strings.Replace(tlsLines.ReplaceAllString(site, ""), "443 ssl http2;", "443;", 1)
}

// withHTTP10 lets nginx ask for streams in the version that it takes unless told otherwise. A WebSocket needs 1.1.
func withHTTP10(site string) string {
	streams, sockets, _ := strings.Cut(site, "location = /v1/ws")
	return streamLines.ReplaceAllString(streams, "") + "location = /v1/ws" + sockets
}

// nginx is Debian's in front of a hub, with folders and an address of its own.
type nginx struct {
	URL string

	dir    string
	config string
	client *http.Client // trusts it
	cmd    *exec.Cmd
}

// startNginx runs one until the test ends.
func startNginx(t *testing.T, hub *testkit.Hub, site string) *nginx {
	t.Helper()
	n := &nginx{dir: t.TempDir(), client: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}}
	n.config = filepath.Join(n.dir, "nginx.conf")
	listen := testkit.FreeAddress(t)
	n.URL = "http://" + listen
	if strings.Contains(site, "443 ssl") {
		n.URL = "https://" + listen
		testkit.Certify(t, n.roots(), n.key())
		n.client.Transport = &http.Transport{DisableKeepAlives: true, TLSClientConfig: n.trust(t), ForceAttemptHTTP2: true}
	}
	for was, is := range map[string]string{
		"server 127.0.0.1:8080;": "server " + strings.TrimPrefix(hub.URL, "http://") + ";", "listen 443": "listen " + listen,
		"/etc/nginx/hub.pem": n.roots(), "/etc/nginx/hub.key": n.key(),
	} {
		if !strings.Contains(site, was) && !strings.HasPrefix(was, "/etc/") {
			t.Fatalf("docs/operations.md: nginx's configuration has no %q", was)
		}
		site = strings.ReplaceAll(site, was, is)
	}
	text, err := os.ReadFile("testdata/nginx.conf")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(n.config, []byte(strings.Replace(string(text), "SITE", site, 1)), 0o600); err != nil { //nolint:gosec // a temporary folder of the test
		t.Fatal(err)
	}
	n.start(t)
	t.Cleanup(n.kill)
	return n
}

// start runs it, in a process group of its own so that kill ends its workers too, and returns when the hub answers
// through it.
func (n *nginx) start(t *testing.T) {
	t.Helper()
	path, err := exec.LookPath("nginx")
	if err != nil {
		path = "/usr/sbin/nginx" // not in everybody's path
	}
	var said bytes.Buffer
	n.cmd = exec.Command(path, "-p", n.dir, "-c", n.config, "-e", filepath.Join(n.dir, "error.log")) //nolint:noctx // kill ends it
	n.cmd.Stderr, n.cmd.SysProcAttr = &said, &syscall.SysProcAttr{Setpgid: true}
	if err := n.cmd.Start(); err != nil {
		t.Fatalf("%v: install it with test/install.sh", err)
	}
	for deadline := time.Now().Add(20 * time.Second); n.status(t) != http.StatusUnauthorized; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			n.kill() // before what it said is read
			t.Fatalf("nginx does not pass on what the hub says: %s", said.String())
		}
	}
}

// kill ends it and its workers at once.
func (n *nginx) kill() {
	_ = syscall.Kill(-n.cmd.Process.Pid, syscall.SIGKILL) // it may have ended already
	_ = n.cmd.Wait()
}

func (n *nginx) roots() string { return filepath.Join(n.dir, "certificate.pem") }

func (n *nginx) key() string { return filepath.Join(n.dir, "key.pem") }

func (n *nginx) trust(t *testing.T) *tls.Config {
	t.Helper()
	text, err := os.ReadFile(n.roots())
	if err != nil {
		t.Fatal(err)
	}
	return testkit.Trust(t, text)
}

// status is that of a stream without a token.
func (n *nginx) status(t *testing.T) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, n.URL+"/v1/stream", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := n.client.Do(req)
	if err != nil {
		return 0
	}
	_ = resp.Body.Close()
	return resp.StatusCode
}

// requests waits until so many streams stand in its log, which they do when they have ended, and returns their lines.
func (n *nginx) requests(t *testing.T, streams int) []string {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		text, err := os.ReadFile(filepath.Join(n.dir, "access.log"))
		if err != nil {
			t.Fatal(err)
		}
		var found []string
		for line := range strings.Lines(string(text)) {
			if strings.Contains(line, " 200 ") || strings.Contains(line, " 101 ") {
				found = append(found, strings.TrimSpace(line))
			}
		}
		if len(found) >= streams {
			return found
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d streams in nginx's log:\n%s", len(found), streams, text)
		}
	}
}
