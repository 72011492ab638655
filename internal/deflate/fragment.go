// Package deflate makes DEFLATE fragments (RFC 1951) that are compressed once and sent to many, and the gzip member
// (RFC 1952) around them.
//
// A fragment ends with a sync flush, on a byte's boundary, and refers to nothing before its start but to a window: the
// plain text that whoever gets it was given right before. Fragments for the same window can be exchanged for one
// another at any place of any stream.
package deflate

import (
	"fmt"
	"math"
	"sync"

	"github.com/klauspost/compress/flate"
)

const (
	// Window is how much of what came before a fragment may refer to. More saves little: events of a kind are alike.
	Window = 2 << 10
	// level costs a seventh more than the fastest here, and saves a seventh.
	level = 6
	// Worthwhile is the length from which plain text is worth compressing without a window.
	Worthwhile = 200
	// SyncMark ends every fragment (RFC 7692 §7.2.1 lets a sender leave it out).
	SyncMark = "\x00\x00\xff\xff"
)

// writers are compressors, of about 1 MB each: as many as are in use at once.
var writers = sync.Pool{New: func() any { //nolint:gochecknoglobals // a pool is one for all by its nature
	w, err := flate.NewWriter(nil, level)
	if err != nil {
		panic(fmt.Sprintf("BUG: level %d: %v", level, err))
	}
	return w
}}

// Append appends plain as a fragment behind window, of which the last Window bytes count; nil is for a fragment that
// can come anywhere.
func Append(dst, window, plain []byte) []byte {
	start := len(dst)
	out := appender{dst}
	w, ok := writers.Get().(*flate.Writer)
	if !ok {
		panic("BUG: something else was put into the pool")
	}
	defer writers.Put(w)
	w.ResetDict(&out, window[max(0, len(window)-Window):])
	if _, err := w.Write(plain); err != nil {
		panic(fmt.Sprintf("BUG: compressing into memory failed: %v", err))
	}
	if err := w.Flush(); err != nil {
		panic(fmt.Sprintf("BUG: compressing into memory failed: %v", err))
	}
	w.Reset(nil) // it would keep dst
	if stored := len(plain) + 5*(len(plain)/math.MaxUint16+2); len(out.buf)-start > stored {
		return AppendStored(out.buf[:start], plain)
	}
	return out.buf
}

// AppendStored appends plain as a fragment that costs no time, and ten bytes more than plain.
func AppendStored(dst, plain []byte) []byte {
	for len(plain) > 0 {
		n := min(len(plain), math.MaxUint16)
		low, high := byte(n), byte(n>>8) //nolint:gosec // the two halves of 16 bits
		dst = append(dst, 0, low, high, ^low, ^high)
		dst = append(dst, plain[:n]...)
		plain = plain[n:]
	}
	return append(dst, "\x00"+SyncMark...) // at it decoders hand over what they have
}

// appender is a slice as an io.Writer.
type appender struct{ buf []byte }

// Write appends p.
func (a *appender) Write(p []byte) (int, error) {
	a.buf = append(a.buf, p...)
	return len(p), nil
}
