package fanout

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"encoding/hex"
	"math/big"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// versions are those that a hub speaks.
func versions() map[string]uint16 {
	return map[string]uint16{"TLS 1.2": tls.VersionTLS12, "TLS 1.3": tls.VersionTLS13}
}

// tcp returns what a client's end runs over.
func tcp(theirs net.Conn) *net.TCPConn {
	if f, ok := theirs.(*far); ok {
		return f.tcp
	}
	return theirs.(*net.TCPConn) //nolint:forcetypeassert // it is one
}

// far is the client's end of a TLS connection.
type far struct {
	*tls.Conn
	tcp    *net.TCPConn
	closed atomic.Bool // TCP has ended: before TLS did, if Read has not said so
	keys   bytes.Buffer
}

// certificate returns what a server needs to be one.
func certificate(t testing.TB) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"hub"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// underneath lets the far end see when its TCP connection ends.
type underneath struct {
	net.Conn
	ended *atomic.Bool
}

func (u underneath) Read(p []byte) (int, error) {
	n, err := u.Conn.Read(p)
	if err != nil {
		u.ended.Store(true)
	}
	return n, err
}

// securePair returns both ends of a TLS connection after its handshake. With narrow the kernel holds little.
func securePair(t testing.TB, cert tls.Certificate, version uint16, narrow bool) (ours net.Conn, theirs *far) {
	t.Helper()
	inner, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it answers at once
	if err != nil {
		t.Fatal(err)
	}
	l := NewTLSListener(inner, &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12})
	defer func() { _ = l.Close() }()
	d := net.Dialer{}
	if narrow {
		d.Control = func(_, _ string, c syscall.RawConn) error {
			return c.Control(func(fd uintptr) {
				_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, 1)
				_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_MAXSEG, 536) // else the window opens by timers only
			})
		}
	}
	c, err := d.DialContext(t.Context(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	theirs = &far{tcp: c.(*net.TCPConn)} //nolint:forcetypeassert // it is one
	theirs.Conn = tls.Client(underneath{c, &theirs.closed}, &tls.Config{
		MaxVersion: version, KeyLogWriter: &theirs.keys, InsecureSkipVerify: true, //nolint:gosec // a test's own server
	})
	t.Cleanup(func() { _ = c.Close() })
	ours, err = l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	if narrow {
		if err := ours.(*tls.Conn).NetConn().(*wire).Conn.(*net.TCPConn).SetWriteBuffer(1); err != nil { //nolint:forcetypeassert // all are
			t.Fatal(err)
		}
	}
	var shaking sync.WaitGroup
	shaking.Go(func() { err = ours.(*tls.Conn).HandshakeContext(t.Context()) }) //nolint:forcetypeassert // it is one
	if err := theirs.HandshakeContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	shaking.Wait()
	if err != nil {
		t.Fatal(err)
	}
	return ours, theirs
}

// The client's own record layer, for what crypto/tls's client cannot be made to send.

// crafted seals records of TLS 1.3 in the place of the client, which must write nothing itself from then on.
type crafted struct {
	to     net.Conn
	secret []byte
	sent   uint64 // records under secret
}

// craft takes over from f's client, which has written that many records since its handshake.
func (f *far) craft(t *testing.T, written uint64) *crafted {
	t.Helper()
	if suite := f.ConnectionState().CipherSuite; suite != tls.TLS_AES_128_GCM_SHA256 {
		t.Fatalf("the test knows TLS_AES_128_GCM_SHA256 only, the handshake chose %s", tls.CipherSuiteName(suite))
	}
	for line := range strings.Lines(f.keys.String()) {
		if fields := strings.Fields(line); fields[0] == "CLIENT_TRAFFIC_SECRET_0" {
			secret, err := hex.DecodeString(fields[2])
			if err != nil {
				t.Fatal(err)
			}
			return &crafted{f.tcp, secret, written}
		}
	}
	t.Fatal("the client has no secret")
	return nil
}

// expand is HKDF-Expand-Label (RFC 8446 §7.1).
func (c *crafted) expand(t *testing.T, label string, length int) []byte {
	t.Helper()
	label = "tls13 " + label
	info := append(binary.BigEndian.AppendUint16(nil, uint16(length)), byte(len(label)))
	out, err := hkdf.Expand(sha256.New, c.secret, string(append(append(info, label...), 0)), length)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// record returns p sealed as a record of the type.
func (c *crafted) record(t *testing.T, recordType byte, p []byte) []byte {
	t.Helper()
	block, err := aes.NewCipher(c.expand(t, "key", 16))
	if err != nil {
		t.Fatal(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	nonce := c.expand(t, "iv", 12)
	for i, b := range binary.BigEndian.AppendUint64(nil, c.sent) {
		nonce[4+i] ^= b
	}
	c.sent++
	inner := append(bytes.Clone(p), recordType)
	head := binary.BigEndian.AppendUint16([]byte{23, 3, 3}, uint16(len(inner)+aead.Overhead()))
	return aead.Seal(head, nonce, inner, head)
}

const (
	alert           = 21
	handshake       = 22
	applicationData = 23
)

// closeNotify returns a client's goodbye.
func (c *crafted) closeNotify(t *testing.T) []byte {
	t.Helper()
	return c.record(t, alert, []byte{1, 0})
}

// keyUpdate returns a change of the client's keys, which asks for one of the server's, and makes it.
func (c *crafted) keyUpdate(t *testing.T) []byte {
	t.Helper()
	r := c.record(t, handshake, []byte{24, 0, 0, 1, 1})
	c.secret, c.sent = c.expand(t, "traffic upd", 32), 0
	return r
}

func (c *crafted) send(t *testing.T, records ...[]byte) {
	t.Helper()
	if _, err := c.to.Write(bytes.Join(records, nil)); err != nil {
		t.Fatal(err)
	}
}
