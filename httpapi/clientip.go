package httpapi

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// clientIP returns the address that limits by address count: the peer's, or, when the peer is a trusted proxy, the
// rightmost hop of X-Forwarded-For that is not one. Hops left of it are the client's own claim and are not believed.
// A hop that is no address ends the walk at the proxy that reported it.
func clientIP(r *http.Request, trusted []netip.Prefix) netip.Addr {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	ip := plain(peer.Addr())
	lines := r.Header.Values("X-Forwarded-For")
	for _, line := range slices.Backward(lines) {
		for line != "" {
			if !within(ip, trusted) {
				return ip
			}
			hop := line
			if i := strings.LastIndexByte(line, ','); i >= 0 {
				line, hop = line[:i], line[i+1:]
			} else {
				line = ""
			}
			next, ok := parseHop(strings.TrimSpace(hop))
			if !ok {
				return ip
			}
			ip = next
		}
	}
	return ip
}

// parseHop reads an address as proxies write it: bare, in brackets, or with a port.
func parseHop(s string) (netip.Addr, bool) {
	if ip, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(s, "["), "]")); err == nil {
		return plain(ip), true
	}
	if hop, err := netip.ParseAddrPort(s); err == nil {
		return plain(hop.Addr()), true
	}
	return netip.Addr{}, false
}

// plain gives each client one spelling: IPv4 inside IPv6 and zones are taken off.
func plain(ip netip.Addr) netip.Addr { return ip.Unmap().WithZone("") }

func within(ip netip.Addr, prefixes []netip.Prefix) bool {
	return slices.ContainsFunc(prefixes, func(p netip.Prefix) bool { return p.Contains(ip) })
}
