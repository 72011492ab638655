package e2e

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/roxyhub/roxy/internal/testkit"
)

// A real ACME authority (Pebble, Let's Encrypt's own for tests) issues a certificate for a name after the hub's listener has
// answered its challenge, and clients that trust the authority get streams.
func TestAuthorityIssuesACertificateByItself(t *testing.T) {
	hub := testkit.Start(t, testkit.Config{})
	address := strings.TrimPrefix(hub.URL, "http://")
	dir := t.TempDir()
	certificate, key := filepath.Join(dir, "authority.pem"), filepath.Join(dir, "authority.key")
	testkit.Certify(t, certificate, key)
	api, management := testkit.FreeAddress(t), testkit.FreeAddress(t)
	startPebble(t, dir, map[string]any{
		"listenAddress": api, "managementListenAddress": management, "certificate": certificate, "privateKey": key,
		"httpPort": 1, "tlsPort": portOf(t, address),
	})
	own, err := os.ReadFile(certificate)
	if err != nil {
		t.Fatal(err)
	}
	root := fetch(t, testkit.Trust(t, own), "https://"+management+"/roots/0")

	t.Setenv("SSL_CERT_FILE", certificate) // so that the hub trusts the authority's own listener
	hub.Stop(t)
	hub.Configure(t, testkit.Config{YAML: "tls: { domains: [hub.bar.example], email: boss@bar.example, authority: \"https://" + api + "/dir\" }\n"})
	hub.Restart(t)

	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	trust := testkit.Trust(t, root)
	trust.ServerName = "hub.bar.example"
	for d := (tls.Dialer{Config: trust}); ; time.Sleep(50 * time.Millisecond) {
		c, err := d.DialContext(ctx, "tcp", address)
		if err == nil {
			_ = c.Close()
			break
		}
		if ctx.Err() != nil {
			t.Fatalf("no certificate: %v", err)
		}
	}
	client, _ := httpOver(trust, http2)
	defer client.CloseIdleConnections()
	s, err := tryOpenWith(ctx, client, "https://"+address, hub.Token(t, testkit.Claims{User: "boss", Roles: []string{"everything"}}), url.Values{"topic": {"orders/*"}}, "")
	if err != nil {
		t.Fatal(err)
	}
	s.until(t, "roxy:live")
	_ = s.body.Close()
}

// startPebble runs the authority until the test ends; it finds every name on loopback.
func startPebble(t *testing.T, dir string, config map[string]any) {
	t.Helper()
	binary := filepath.Join(dir, "pebble")
	build := exec.CommandContext(t.Context(), "go", "build", "-modfile=tools/go.mod", "-o", binary, "github.com/letsencrypt/pebble/v2/cmd/pebble")
	build.Dir = filepath.Join("..", "..")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	text, err := json.Marshal(map[string]any{"pebble": config})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "pebble.json")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	cmd := exec.CommandContext(ctx, binary, "-config", file, "-dnsserver", serveNames(t))
	cmd.Env = append(os.Environ(), "PEBBLE_VA_NOSLEEP=1", "PEBBLE_WFE_NONCEREJECT=0")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = cmd.Wait()
	})
}

// serveNames answers every question for an address with loopback's, over TCP (RFC 7766).
func serveNames(t *testing.T) (address string) {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return // closed
			}
			go func() {
				defer func() { _ = c.Close() }()
				for answerName(c) == nil {
				}
			}()
		}
	}()
	return l.Addr().String()
}

func answerName(c net.Conn) error {
	var length uint16
	if err := binary.Read(c, binary.BigEndian, &length); err != nil {
		return err
	}
	question := make([]byte, length)
	if _, err := io.ReadFull(c, question); err != nil {
		return err
	}
	var m dnsmessage.Message
	if err := m.Unpack(question); err != nil {
		return err
	}
	m.Response, m.Authoritative, m.Additionals = true, true, nil
	for _, q := range m.Questions {
		if q.Type == dnsmessage.TypeA {
			header := dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class, TTL: 60}
			m.Answers = append(m.Answers, dnsmessage.Resource{Header: header, Body: &dnsmessage.AResource{A: [4]byte{127, 0, 0, 1}}})
		}
	}
	answer, err := m.AppendPack(make([]byte, 2))
	if err != nil {
		return err
	}
	binary.BigEndian.PutUint16(answer, uint16(len(answer)-2))
	_, err = c.Write(answer)
	return err
}

// fetch returns what is at the address, once somebody listens there.
func fetch(t *testing.T, trust *tls.Config, address string) []byte {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: trust, DisableKeepAlives: true}}
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client.Do(req)
		if err == nil {
			text, err := io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			if err != nil || resp.StatusCode != http.StatusOK {
				t.Fatalf("%s: %s, %v", address, resp.Status, err)
			}
			return text
		}
		if ctx.Err() != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func portOf(t *testing.T, address string) (port int) {
	t.Helper()
	_, text, err := net.SplitHostPort(address)
	if err == nil {
		_, err = fmt.Sscan(text, &port)
	}
	if err != nil {
		t.Fatal(err)
	}
	return port
}
