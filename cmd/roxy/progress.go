package main

import (
	"fmt"
	"os"
	"time"
)

// progress is a line that is written over, on a terminal only.
type progress struct {
	out  *os.File
	last time.Time
	on   bool
}

func newProgress(out *os.File) *progress {
	info, err := out.Stat()
	return &progress{out: out, on: err == nil && info.Mode()&os.ModeCharDevice != 0}
}

func (p *progress) show(format string, args ...any) {
	if !p.on || time.Since(p.last) < 100*time.Millisecond {
		return
	}
	p.last = time.Now()
	_, _ = fmt.Fprintf(p.out, "\r\033[K"+format, args...)
}

func (p *progress) done() {
	if p.on {
		_, _ = fmt.Fprint(p.out, "\r\033[K")
	}
}
