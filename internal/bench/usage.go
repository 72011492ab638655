package bench

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// usage is what processes have used, summed.
type usage struct {
	cpu time.Duration
	rss int64 // bytes
}

// readUsage asks Linux's /proc. CPU is from each thread's schedstat, in nanoseconds, where stat has ticks of 10 ms; time
// of threads that have ended is not in it, which neither Go nor nginx do in the middle of work.
func readUsage(pids []int) (u usage, err error) {
	for _, pid := range pids {
		threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
		if err != nil {
			return u, err
		}
		if len(threads) == 0 {
			return u, fmt.Errorf("process %d: no such process in /proc, which Linux has", pid)
		}
		for _, path := range threads {
			text, err := os.ReadFile(path) //nolint:gosec // of the process that the caller named
			if err != nil {
				continue // the thread has ended between the listing and now
			}
			ns, err := firstNumber(text)
			if err != nil {
				return u, fmt.Errorf("%s: %w", path, err)
			}
			u.cpu += time.Duration(ns)
		}
		path := fmt.Sprintf("/proc/%d/smaps_rollup", pid)
		text, err := os.ReadFile(path) //nolint:gosec // as above
		if err != nil {
			return u, fmt.Errorf("memory of process %d (it must be of your user): %w", pid, err)
		}
		_, text, _ = bytes.Cut(text, []byte("\nRss:"))
		kb, err := firstNumber(text)
		if err != nil {
			return u, fmt.Errorf("%s: Rss: %w", path, err)
		}
		u.rss += kb << 10
	}
	return u, nil
}

func firstNumber(text []byte) (int64, error) {
	for word := range bytes.FieldsSeq(text) {
		return strconv.ParseInt(string(word), 10, 64)
	}
	return 0, fmt.Errorf("no number in it")
}

// ownCPU returns what this process has used; 0 where there is no /proc.
func ownCPU() time.Duration {
	u, err := readUsage([]int{os.Getpid()})
	if err != nil {
		return 0
	}
	return u.cpu
}
