package e2e

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/roxyhub/roxy/internal/testkit"
)

// httpOver returns a client of one version of HTTP, and how many connections it opened.
func httpOver(secure *tls.Config, set func(*http.Protocols)) (*http.Client, *atomic.Int64) {
	var protocols http.Protocols
	set(&protocols)
	var dialled atomic.Int64
	transport := &http.Transport{
		Protocols: &protocols, TLSClientConfig: secure, MaxIdleConnsPerHost: 10,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			dialled.Add(1)
			return new(net.Dialer).DialContext(ctx, network, address)
		},
	}
	return &http.Client{Transport: transport}, &dialled
}

func http1(p *http.Protocols) { p.SetHTTP1(true) }
func http2(p *http.Protocols) { p.SetHTTP2(true) }
func h2c(p *http.Protocols)   { p.SetUnencryptedHTTP2(true) }

// Every version of HTTP, with TLS and without, carries many streams, and all get what is published and are told goodbye;
// over HTTP/2 they share a connection, as a browser's tabs do.
func TestStreamsOverEveryVersionOfHTTP(t *testing.T) {
	for name, tt := range map[string]struct {
		tls         bool
		protocols   func(*http.Protocols)
		major       int
		streams     int
		connections int64
	}{
		"HTTP/1.1":          {false, http1, 1, 20, 20},
		"HTTP/1.1 over TLS": {true, http1, 1, 20, 20},
		"HTTP/2 over TLS":   {true, http2, 2, 600, 1},
		"h2c":               {false, h2c, 2, 600, 1},
	} {
		t.Run(name, func(t *testing.T) {
			hub := testkit.Start(t, testkit.Config{TLS: tt.tls, YAML: "drain: { over: 1s }\n"})
			var trust *tls.Config
			if tt.tls {
				trust = hub.Trust(t)
			}
			client, dialled := httpOver(trust, tt.protocols)
			defer client.CloseIdleConnections()
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			token := hub.Token(t, testkit.Claims{User: "boss", Roles: []string{"everything"}})
			var streams []*stream
			for range tt.streams {
				s, err := tryOpenWith(ctx, client, hub.URL, token, url.Values{"topic": {"orders/*"}}, "")
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = s.body.Close() }()
				if s.major != tt.major {
					t.Fatalf("HTTP/%d was spoken", s.major)
				}
				s.until(t, "roxy:live")
				streams = append(streams, s)
			}
			if n := dialled.Load(); n > tt.connections {
				t.Errorf("%d connections for %d streams", n, tt.streams)
			}
			publisher, _ := httpOver(trust, tt.protocols)
			defer publisher.CloseIdleConnections()
			for i := range 10 {
				if _, err := publishWith(ctx, publisher, hub.URL, token, fmt.Sprintf(`{"topic":"orders/%d","type":"order:new","data":%d}`, i, i)); err != nil {
					t.Fatal(err)
				}
			}
			for _, s := range streams {
				for i := range 10 {
					if got := data[int](t, s.until(t, "order:new")); got != i {
						t.Fatalf("got order %d, want %d", got, i)
					}
				}
			}
			go hub.Stop(t)
			for _, s := range streams {
				if bye := s.until(t, "roxy:bye"); !strings.Contains(bye.Data, `"drain"`) {
					t.Fatal(bye.Data)
				}
			}
		})
	}
}

// A certificate that is renewed is shown from then on, while streams that were opened with the one before go on; one that
// is broken is not taken, and old versions of TLS are not spoken.
func TestCertificateIsReloadedUnderLiveStreams(t *testing.T) {
	hub := testkit.Start(t, testkit.Config{TLS: true})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	token := hub.Token(t, testkit.Claims{User: "boss", Roles: []string{"everything"}})
	var lives []*stream
	for _, version := range []func(*http.Protocols){http1, http2} {
		old, _ := httpOver(hub.Trust(t), version)
		defer old.CloseIdleConnections()
		live, err := tryOpenWith(ctx, old, hub.URL, token, url.Values{"topic": {"orders/*"}}, "")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = live.body.Close() }()
		live.until(t, "roxy:live")
		lives = append(lives, live)
	}
	goOn := func() {
		t.Helper()
		for _, live := range lives {
			live.until(t, "order:new")
		}
	}

	hub.Certify(t)
	await := func(line string, behind int) { // that many of it
		t.Helper()
		for strings.Count(hub.Log(), line) <= behind && ctx.Err() == nil {
			time.Sleep(10 * time.Millisecond)
		}
		if ctx.Err() != nil {
			t.Fatalf("never said %q:\n%s", line, hub.Log())
		}
	}
	await("certificate reloaded", 0)
	renewed, _ := httpOver(hub.Trust(t), http1)
	if _, err := publishWith(ctx, renewed, hub.URL, token, `{"topic":"orders/1","type":"order:new","data":1}`); err != nil {
		t.Fatal(err)
	}
	goOn()

	const broken = "the changed certificate is broken"
	before := strings.Count(hub.Log(), broken) // the hub may have met half of the new pair
	if err := os.WriteFile(hub.KeyFile(), []byte("no key"), 0o600); err != nil {
		t.Fatal(err)
	}
	await(broken, before)
	if strings.Contains(hub.Log(), "no key") {
		t.Error("the log shows what the key file holds")
	}
	again, _ := httpOver(hub.Trust(t), http2)
	if _, err := publishWith(ctx, again, hub.URL, token, `{"topic":"orders/1","type":"order:new","data":2}`); err != nil {
		t.Fatal(err)
	}
	goOn()

	ancient := hub.Trust(t)
	ancient.MinVersion, ancient.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
	d := tls.Dialer{Config: ancient}
	if c, err := d.DialContext(ctx, "tcp", strings.TrimPrefix(hub.URL, "https://")); err == nil {
		_ = c.Close()
		t.Error("TLS 1.1 was spoken")
	} else if !strings.Contains(err.Error(), "protocol version") {
		t.Errorf("TLS 1.1 was refused with %v", err)
	}

	testkit.Certify(t, filepath.Join(t.TempDir(), "another.pem"), hub.KeyFile()) // a key, but not this certificate's
	out, err := exec.CommandContext(ctx, testkit.Binary(t), "check", hub.ConfigFile()).CombinedOutput()
	if line := regexp.MustCompile(`roxy\.yaml:\d+: tls\.certificate: .*private key does not match`); err == nil || !line.Match(out) {
		t.Errorf("check says %v: %s", err, out)
	}
}

// The command line trusts a private authority as every Go program does.
func TestCommandsSpeakTLS(t *testing.T) {
	hub := testkit.Start(t, testkit.Config{TLS: true})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	command := func(args ...string) *exec.Cmd {
		cmd := exec.CommandContext(ctx, testkit.Binary(t), args...)
		cmd.Env = append(os.Environ(), "ROXY_URL="+hub.URL, "SSL_CERT_FILE="+hub.Roots,
			"ROXY_TOKEN="+hub.Token(t, testkit.Claims{User: "boss", Roles: []string{"everything"}}))
		return cmd
	}
	if out, err := command("publish", "orders/7", `{"table":7}`).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	tail := command("tail", "orders/*", "--after", "earliest")
	out, err := tail.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := tail.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || !strings.Contains(line, "orders/7") {
		t.Errorf("got %q, %v", line, err)
	}
	cancel()
	_ = tail.Wait() // killed
}
