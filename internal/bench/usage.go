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
	cpu    time.Duration
	memory Memory
}

// Memory is what processes hold, in bytes; the kernel's buffers of their sockets are not in it.
type Memory struct {
	RSS int64 `json:"rss"`
	PSS int64 `json:"pss"` // what several of them share is counted once
}

// over returns what m has more than before, for each of n streams.
func (m Memory) over(before Memory, n int) PerStream {
	return PerStream{RSS: float64(m.RSS-before.RSS) / float64(n), PSS: float64(m.PSS-before.PSS) / float64(n)}
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
			ns, err := numberBehind(text, "")
			if err != nil {
				return u, fmt.Errorf("%s: %w", path, err)
			}
			u.cpu += time.Duration(ns)
		}
		path := fmt.Sprintf("/proc/%d/smaps_rollup", pid)
		text, err := os.ReadFile(path) //nolint:gosec // as above
		if err != nil {
			return u, fmt.Errorf("memory of process %d (be root or its user): %w", pid, err)
		}
		for name, sum := range map[string]*int64{"\nRss:": &u.memory.RSS, "\nPss:": &u.memory.PSS} {
			kb, err := numberBehind(text, name)
			if err != nil {
				return u, fmt.Errorf("%s: %w", path, err)
			}
			*sum += kb << 10
		}
	}
	return u, nil
}

// numberBehind returns the number that follows name in text.
func numberBehind(text []byte, name string) (int64, error) {
	if _, rest, ok := bytes.Cut(text, []byte(name)); ok {
		for word := range bytes.FieldsSeq(rest) {
			return strconv.ParseInt(string(word), 10, 64)
		}
	}
	return 0, fmt.Errorf("no number behind %q", name)
}

// ownCPU returns what this process has used; 0 where there is no /proc.
func ownCPU() time.Duration {
	u, err := readUsage([]int{os.Getpid()})
	if err != nil {
		return 0
	}
	return u.cpu
}

// spareFiles is what this process has open besides its connections, and more.
const spareFiles = 64

// openFiles says whether this process may have n connections. Go has raised its soft limit to the hard one already. Where
// there is no /proc, a dial will say so.
func openFiles(n int) error {
	text, err := os.ReadFile("/proc/self/limits")
	if err != nil {
		return nil //nolint:nilerr // as above
	}
	limit, err := numberBehind(text, "\nMax open files")
	if err != nil || limit >= int64(n+spareFiles) {
		return nil //nolint:nilerr // unlimited is not a number
	}
	return fmt.Errorf("%d streams and publishers need %d open files and this process may have %d: raise the limit (ulimit -n %d, as root if need be) or take fewer --streams",
		n, n+spareFiles, limit, n+spareFiles)
}
