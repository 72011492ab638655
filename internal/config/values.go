package config

import (
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// Address is host:port.
type Address string

// UnmarshalText refuses what is no host:port.
func (a *Address) UnmarshalText(text []byte) error {
	s := string(text)
	_, port, err := net.SplitHostPort(s)
	if err != nil {
		return fmt.Errorf("%q is not host:port, such as 127.0.0.1:8080", s)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil {
		return fmt.Errorf("%q: port %q is not a number from 0 to 65535", s, port)
	} else if n == 0 && port != "0" {
		return fmt.Errorf("%q: port %q is not spelled 0", s, port)
	}
	*a = Address(s)
	return nil
}

// Path is a file or folder; in a file, relative to that file.
type Path string

// Secret is a value that is never printed.
type Secret string

// String hides the secret, as do all the ways of printing.
func (Secret) String() string { return "[secret]" }

// GoString hides the secret.
func (Secret) GoString() string { return "[secret]" }

// MarshalText hides the secret.
func (Secret) MarshalText() ([]byte, error) { return []byte("[secret]"), nil }

// LogValue hides the secret.
func (Secret) LogValue() slog.Value { return slog.StringValue("[secret]") }

// Size is a number of bytes, written as 4GiB, 64KiB or 1000.
type Size int64

// UnmarshalText reads a size.
func (s *Size) UnmarshalText(text []byte) error {
	digits := strings.TrimSpace(string(text))
	unit := int64(1)
	for suffix, bytes := range map[string]int64{"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40} {
		if rest, ok := strings.CutSuffix(digits, suffix); ok {
			digits, unit = strings.TrimSpace(rest), bytes
			break
		}
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || n < 0 || n > math.MaxInt64/unit {
		return fmt.Errorf("%q is no size: write bytes, or KiB, MiB, GiB, TiB, as in 64KiB", text)
	}
	*s = Size(n * unit)
	return nil
}

// String writes the size in the largest unit that fits.
func (s Size) String() string {
	for _, u := range []struct {
		bytes Size
		name  string
	}{{1 << 40, "TiB"}, {1 << 30, "GiB"}, {1 << 20, "MiB"}, {1 << 10, "KiB"}} {
		if s >= u.bytes && s%u.bytes == 0 {
			return strconv.FormatInt(int64(s/u.bytes), 10) + u.name
		}
	}
	return strconv.FormatInt(int64(s), 10)
}

// EngineName is where events are kept.
type EngineName string

// UnmarshalText refuses the engines that this version does not have.
func (e *EngineName) UnmarshalText(text []byte) error {
	if string(text) != "disk" {
		return fmt.Errorf("%q is not available in this version: use disk", text)
	}
	*e = "disk"
	return nil
}

// LogFormat is how log lines are written.
type LogFormat string

// UnmarshalText refuses an unknown format.
func (f *LogFormat) UnmarshalText(text []byte) error {
	if s := string(text); s != "json" && s != "text" {
		return fmt.Errorf("%q is neither json nor text", s)
	}
	*f = LogFormat(text)
	return nil
}

// Compression is how streams are compressed.
type Compression string

// UnmarshalText refuses an unknown compression.
func (c *Compression) UnmarshalText(text []byte) error {
	if s := string(text); s != "gzip" && s != "off" {
		return fmt.Errorf("%q is neither gzip nor off", s)
	}
	*c = Compression(text)
	return nil
}

// LogLevel is what is logged: this level and above.
type LogLevel slog.Level

// UnmarshalText refuses an unknown level.
func (l *LogLevel) UnmarshalText(text []byte) error {
	var level slog.Level
	if err := level.UnmarshalText(text); err != nil {
		return fmt.Errorf("%q is none of debug, info, warn, error", text)
	}
	*l = LogLevel(level)
	return nil
}

// String writes the level as the file would hold it.
func (l LogLevel) String() string { return strings.ToLower(slog.Level(l).String()) }

// Network is a range of addresses.
type Network netip.Prefix

// UnmarshalText reads an address with a prefix length, or one address.
func (n *Network) UnmarshalText(text []byte) error {
	if address, err := netip.ParseAddr(string(text)); err == nil {
		*n = Network(netip.PrefixFrom(address, address.BitLen()))
		return nil
	}
	p, err := netip.ParsePrefix(string(text))
	if err != nil {
		return fmt.Errorf("%q is no network: write it as in 10.0.0.0/8", text)
	}
	*n = Network(p)
	return nil
}

// String writes the network with its prefix length.
func (n Network) String() string { return netip.Prefix(n).String() }
