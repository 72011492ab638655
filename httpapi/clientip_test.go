package httpapi

import (
	"net/http"
	"net/netip"
	"testing"
)

func TestClientIPBelievesOnlyTrustedHops(t *testing.T) {
	trusted := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}
	for name, tt := range map[string]struct {
		peer      string
		forwarded []string
		want      string
	}{
		"no proxy":                           {"192.0.2.1:5", nil, "192.0.2.1"},
		"a client that forges":               {"192.0.2.1:5", []string{"198.51.100.9"}, "192.0.2.1"},
		"one proxy":                          {"10.0.0.1:5", []string{"192.0.2.1"}, "192.0.2.1"},
		"a forged hop behind the proxy":      {"10.0.0.1:5", []string{"198.51.100.9, 192.0.2.1"}, "192.0.2.1"},
		"two proxies":                        {"10.0.0.1:5", []string{"198.51.100.9, 192.0.2.1 , 10.1.1.1"}, "192.0.2.1"},
		"two proxies in two lines":           {"10.0.0.1:5", []string{"192.0.2.1", "10.1.1.1"}, "192.0.2.1"},
		"a trusted address before the true":  {"10.0.0.1:5", []string{"10.9.9.9, 192.0.2.1"}, "192.0.2.1"},
		"only proxies":                       {"10.0.0.1:5", []string{"10.0.0.3,10.0.0.2"}, "10.0.0.3"},
		"a proxy that forwards nothing":      {"10.0.0.1:5", nil, "10.0.0.1"},
		"a hop that is no address":           {"10.0.0.1:5", []string{"192.0.2.1, unknown"}, "10.0.0.1"},
		"an empty hop":                       {"10.0.0.1:5", []string{"192.0.2.1,"}, "10.0.0.1"},
		"a hop with a port":                  {"10.0.0.1:5", []string{"192.0.2.1:8080"}, "192.0.2.1"},
		"IPv6":                               {"[fd00::1]:5", []string{"[2001:db8::1]:99"}, "2001:db8::1"},
		"IPv6 in brackets":                   {"[fd00::1]:5", []string{"[2001:db8::1]"}, "2001:db8::1"},
		"IPv4 in IPv6":                       {"[::ffff:10.0.0.1]:5", []string{"::ffff:192.0.2.1"}, "192.0.2.1"},
		"a zone is no way around the limits": {"[fe80::1%eth0]:5", nil, "fe80::1"},
	} {
		t.Run(name, func(t *testing.T) {
			r := &http.Request{RemoteAddr: tt.peer, Header: http.Header{"X-Forwarded-For": tt.forwarded}}
			if got := clientIP(r, trusted).String(); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

func FuzzClientIP(f *testing.F) {
	f.Add("10.0.0.1, 192.0.2.1", "[::1]:7")
	f.Add(",,", "")
	f.Fuzz(func(t *testing.T, first, second string) {
		everyone := []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}
		r := &http.Request{RemoteAddr: "10.0.0.1:5", Header: http.Header{"X-Forwarded-For": {first, second}}}
		if ip := clientIP(r, everyone); !ip.IsValid() || ip.Zone() != "" || ip.Is4In6() {
			t.Errorf("%q, %q: %v", first, second, ip)
		}
		if ip := clientIP(r, nil); ip != netip.MustParseAddr("10.0.0.1") {
			t.Errorf("%q, %q: believed without trust: %v", first, second, ip)
		}
	})
}
