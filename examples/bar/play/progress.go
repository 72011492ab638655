package main

import (
	"fmt"
	"os"
	"time"

	bar "github.com/roxyhub/roxy/examples/bar"
)

// progress tells how far the evening is: one changing line on a terminal, a line now and then elsewhere.
type progress struct {
	out        *os.File
	terminal   bool
	total      int
	n          int
	duplicates int
	began      time.Time
}

func newProgress(out *os.File, total int) *progress {
	info, err := out.Stat()
	return &progress{out: out, terminal: err == nil && info.Mode()&os.ModeCharDevice != 0, total: total, began: time.Now()}
}

// every is how many turns apart the lines are where they stay.
const every = 500

func (p *progress) said(t bar.Turn, duplicate bool) {
	p.n++
	if duplicate {
		p.duplicates++
	}
	opening := time.Date(2026, time.November, 23, 18, 0, 0, 0, time.UTC)
	line := fmt.Sprintf("%s  %4d/%d  %-10s %-19s %s", opening.Add(t.At).Format("15:04:05"), p.n, p.total, t.As, t.Event.Type, t.Event.Topic)
	switch {
	case p.terminal:
		_, _ = fmt.Fprintf(p.out, "\r\x1b[K%s", line) // a terminal that is gone is nobody to tell
	case p.n%every == 0:
		_, _ = fmt.Fprintln(p.out, line)
	}
}

func (p *progress) done() {
	if p.terminal {
		_, _ = fmt.Fprintln(p.out)
	}
	_, _ = fmt.Fprintf(p.out, "the evening is over: %d events in %s", p.n, time.Since(p.began).Round(time.Second))
	if p.duplicates > 0 {
		_, _ = fmt.Fprintf(p.out, ", %d of them had been said before", p.duplicates)
	}
	_, _ = fmt.Fprintln(p.out)
}
