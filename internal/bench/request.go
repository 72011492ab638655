package bench

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Request is an HTTP request with places to fill: {topic}, {i} and {token} anywhere, {data} in the body. In a form
// (Content-Type: application/x-www-form-urlencoded) what is filled into the body is escaped for it.
type Request struct {
	URL    string   // http or https
	Header []string // Name: value
	Body   string   // with one it is a POST, without a GET
}

const (
	// dialTime bounds a dial, its TLS handshake included.
	dialTime = 30 * time.Second
	// maxRefusal is how much of a refusal is read, and maxRepeated how much of one is repeated that no one wrote for people.
	maxRefusal  = 64 << 10
	maxRepeated = 300
)

// filling is what the places of one request are filled with.
type filling struct {
	topic, token string
	i            int
	data         string
}

func (f filling) fill(text string, escape func(string) string) string {
	if !strings.Contains(text, "{") {
		return text
	}
	return strings.NewReplacer("{topic}", escape(f.topic), "{token}", escape(f.token), "{i}", strconv.Itoa(f.i), "{data}", escape(f.data)).Replace(text)
}

func plain(s string) string { return s }

// body returns the body for f.
func (r Request) body(f filling) string {
	for _, line := range r.Header {
		name, value, _ := strings.Cut(line, ":")
		if strings.EqualFold(name, "Content-Type") && strings.HasPrefix(strings.TrimSpace(value), "application/x-www-form-urlencoded") {
			return f.fill(r.Body, url.QueryEscape)
		}
	}
	return f.fill(r.Body, plain)
}

// build returns the request with this body.
func (r Request) build(ctx context.Context, f filling, body string) (*http.Request, error) {
	method := http.MethodGet
	if body != "" {
		method = http.MethodPost
	}
	req, err := http.NewRequestWithContext(ctx, method, f.fill(r.URL, plain), strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	if req.URL.Host == "" || req.URL.Scheme != "http" && req.URL.Scheme != "https" {
		return nil, fmt.Errorf("address %q: it begins with http:// or https:// and a host", r.URL)
	}
	for i, line := range r.Header {
		name, value, ok := strings.Cut(line, ":")
		if !ok {
			return nil, fmt.Errorf("header %d: it is written NAME: VALUE", i+1) // not the header itself: it may hold a secret
		}
		value = strings.TrimSpace(f.fill(value, plain))
		if strings.EqualFold(name, "Host") {
			req.Host = value
		}
		req.Header.Add(name, value)
	}
	return req, nil
}

// dial connects to where u leads. The connection is reset when it is closed, so that thousands of them leave no ports
// behind in TIME_WAIT.
func dial(ctx context.Context, u *url.URL) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTime)
	defer cancel()
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", net.JoinHostPort(u.Hostname(), port))
	if errors.Is(err, syscall.EADDRNOTAVAIL) {
		return nil, fmt.Errorf("%w: no local port is left towards it (net.ipv4.ip_local_port_range)", err)
	}
	if err != nil {
		return nil, err
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // without it there are only more ports in use
	}
	if u.Scheme == "http" {
		return conn, nil
	}
	secure := tls.Client(conn, &tls.Config{ServerName: u.Hostname(), MinVersion: tls.VersionTLS12})
	if err := secure.HandshakeContext(ctx); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return secure, nil
}

// refusal is an answer that is not the one hoped for: in the hub's words if it sent a problem (RFC 9457).
func refusal(resp *http.Response) error {
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxRefusal))
	if len(text) == 0 || err != nil {
		return fmt.Errorf("the hub answered %s", resp.Status)
	}
	var p struct{ Code, Title, Detail, Member string }
	if strings.HasPrefix(resp.Header.Get("Content-Type"), "application/problem+json") && json.Unmarshal(text, &p) == nil {
		said := fmt.Errorf("the hub answered %s: %s: %s", resp.Status, p.Code, p.Detail)
		if p.Detail == "" {
			said = fmt.Errorf("the hub answered %s: %s", resp.Status, p.Title)
		}
		if p.Member != "" {
			said = fmt.Errorf("%w (%s)", said, p.Member)
		}
		return said
	}
	return fmt.Errorf("the hub answered %s: %q", resp.Status, text[:min(len(text), maxRepeated)])
}
