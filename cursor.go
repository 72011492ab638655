package roxy

import (
	"fmt"
	"strconv"
	"strings"
)

// MaxEpochBytes bounds the epoch of a cursor.
const MaxEpochBytes = 32

// Cursor is a position in one life of a tenant's log: everything up to and including Offset has been seen. Offset 0
// is before the first event. It travels as EPOCH.OFFSET (docs/protocol.md §1) and is opaque to clients.
type Cursor struct {
	Epoch  string // 1–32 of [a-z0-9]
	Offset uint64
}

// ParseCursor returns the cursor written as s. There is one spelling for each cursor: no sign, no leading zero.
func ParseCursor(s string) (Cursor, error) {
	epoch, digits, ok := strings.Cut(s, ".")
	if !ok {
		return Cursor{}, fmt.Errorf("cursor %q: not of the form EPOCH.OFFSET", clip(s))
	}
	if !validEpoch(epoch) {
		return Cursor{}, fmt.Errorf("cursor %q: epoch is not 1–%d of a-z 0-9", clip(s), MaxEpochBytes)
	}
	offset, err := strconv.ParseUint(digits, 10, 64)
	if err != nil || strconv.FormatUint(offset, 10) != digits {
		return Cursor{}, fmt.Errorf("cursor %q: offset is not a decimal number", clip(s))
	}
	return Cursor{epoch, offset}, nil
}

// String returns EPOCH.OFFSET.
func (c Cursor) String() string { return string(c.Append(nil)) }

// Append appends EPOCH.OFFSET to dst.
func (c Cursor) Append(dst []byte) []byte {
	dst = append(dst, c.Epoch...)
	dst = append(dst, '.')
	return strconv.AppendUint(dst, c.Offset, 10)
}

func validEpoch(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return false
		}
	}
	return s != "" && len(s) <= MaxEpochBytes
}
