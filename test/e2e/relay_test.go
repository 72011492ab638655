package e2e

import (
	"strings"
	"testing"

	"github.com/roxyhub/roxy/internal/faultproxy"
	"github.com/roxyhub/roxy/internal/testkit"
)

// relay stands between clients and a hub and passes everything, until it cuts.
type relay struct {
	URL   string
	proxy *faultproxy.Proxy
}

// startRelay runs one until the test ends.
func startRelay(t *testing.T, hub *testkit.Hub) *relay {
	t.Helper()
	p, err := faultproxy.Start(strings.TrimPrefix(hub.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return &relay{URL: "http://" + p.Addr(), proxy: p}
}

// cut ends one connection, as a network does that is gone: what was on its way either way may be lost.
func (r *relay) cut() { _, _ = r.proxy.Cut(faultproxy.Where{}, faultproxy.FIN, 1) }

// count tells how many answers had the header with a value that begins so.
func (r *relay) count(header, value string) (n int) {
	for _, request := range r.proxy.Log() {
		for _, v := range request.Header.Values(header) {
			if strings.HasPrefix(v, value) {
				n++
			}
		}
	}
	return n
}
