package bench

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Request is an HTTP/1.1 request with places to fill: {topic} and {i} anywhere, {data} in the body of a publish. In a
// form (Content-Type: application/x-www-form-urlencoded) what is filled in is escaped for it.
type Request struct {
	Method string // default GET, with a body POST
	URL    string // http or https
	Header []string
	Body   string
}

// dialTime bounds a dial, its TLS handshake included.
const dialTime = 30 * time.Second

// endpoint is a request that was looked at once.
type endpoint struct {
	head    string // all before Content-Length, with places
	body    string
	address string
	tls     *tls.Config // nil: cleartext
	form    bool
}

func (r Request) endpoint() (endpoint, error) {
	u, err := url.Parse(r.URL)
	if err != nil {
		return endpoint{}, err
	}
	if u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return endpoint{}, fmt.Errorf("address %q: it begins with http:// or https:// and a host", r.URL)
	}
	_, target, _ := strings.Cut(r.URL, u.Host) // as it was written: package url would escape the braces
	if !strings.HasPrefix(target, "/") {
		target = "/" + target
	}
	e := endpoint{body: r.Body, address: u.Host}
	port := "80"
	if u.Scheme == "https" {
		port, e.tls = "443", &tls.Config{ServerName: u.Hostname(), NextProtos: []string{"http/1.1"}, MinVersion: tls.VersionTLS12}
	}
	if u.Port() == "" {
		e.address = net.JoinHostPort(u.Hostname(), port)
	}
	method := r.Method
	if method == "" {
		method = "GET"
		if r.Body != "" {
			method = "POST"
		}
	}
	lines := append([]string{method + " " + target + " HTTP/1.1", "Host: " + u.Host}, r.Header...)
	for i, line := range lines {
		if strings.ContainsAny(line, "\r\n") || i == 0 && strings.Count(line, " ") != 2 {
			return endpoint{}, fmt.Errorf("method or address of %q: no spaces or line breaks in them", r.URL)
		}
		name, value, ok := strings.Cut(line, ":")
		if i > 0 && !ok {
			return endpoint{}, fmt.Errorf("header %d: it is Name: value", i-1) // not the header itself: it may hold a secret
		}
		if strings.EqualFold(name, "Content-Type") && strings.HasPrefix(strings.TrimSpace(value), "application/x-www-form-urlencoded") {
			e.form = true
		}
	}
	e.head = strings.Join(lines, "\r\n") + "\r\n"
	return e, nil
}

// dial connects. The connection is reset when it is closed, so that thousands of them leave no ports behind in TIME_WAIT.
func (e *endpoint) dial(ctx context.Context) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTime)
	defer cancel()
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", e.address)
	if err != nil {
		return nil, err
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // without it there are only more ports in use
	}
	if e.tls == nil {
		return conn, nil
	}
	secure := tls.Client(conn, e.tls)
	if err := secure.HandshakeContext(ctx); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return secure, nil
}

// append appends the request for stream or publisher i with these bodies; several are an array.
func (e *endpoint) append(b []byte, topic string, i int, bodies ...string) []byte {
	b = append(b, fill(e.head, topic, i)...)
	if len(bodies) == 0 {
		return append(b, "\r\n"...)
	}
	body := bodies[0]
	if len(bodies) > 1 {
		body = "[" + strings.Join(bodies, ",") + "]"
	}
	b = append(b, "Content-Length: "...)
	b = strconv.AppendInt(b, int64(len(body)), 10)
	b = append(b, "\r\n\r\n"...)
	return append(b, body...)
}

// fillBody returns the body that publishes data.
func (e *endpoint) fillBody(topic string, i int, data string) string {
	if e.form {
		topic, data = url.QueryEscape(topic), url.QueryEscape(data)
	}
	return strings.ReplaceAll(fill(e.body, topic, i), "{data}", data)
}

func fill(text, topic string, i int) string {
	text = strings.ReplaceAll(text, "{topic}", topic)
	return strings.ReplaceAll(text, "{i}", strconv.Itoa(i))
}
