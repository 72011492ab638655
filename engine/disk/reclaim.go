package disk

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// How long the reclaimer waits after a compaction for which there was no space, doubling: each writes anew what fits.
const (
	minReclaimPause = time.Second
	maxReclaimPause = 8 * time.Second
)

// trims remembers the tenants whose trimmed events may still take space, for the reclaimer.
type trims struct {
	wake chan struct{} // holds one when the disk is full

	mu     sync.Mutex
	count  uint64            // trims so far
	byName map[string]uint64 // the count at a tenant's last trim; at most one for each tenant met
}

func newTrims() *trims {
	return &trims{wake: make(chan struct{}, 1), byName: make(map[string]uint64)}
}

// add notes a trim of the tenant.
func (t *trims) add(name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.count++
	t.byName[name] = t.count
}

// newest returns the tenant that was trimmed last, and when; "" for none.
func (t *trims) newest() (name string, at uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for n, c := range t.byName {
		if c > at {
			name, at = n, c
		}
	}
	return name, at
}

// forget drops the trims of the tenant up to at.
func (t *trims) forget(name string, at uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.byName[name] == at {
		delete(t.byName, name)
	}
}

// ask wakes the reclaimer.
func (t *trims) ask() {
	select {
	case t.wake <- struct{}{}:
	default: // it looks again when it is done
	}
}

// reclaimer frees the space of what was trimmed whenever the disk is full. By itself Pebble does that as more is
// written, and on a full disk nothing more is: what lay in the newest tables would keep commits out for ever. It is
// not the janitor's work, which goes on with trims while a compaction waits for space.
func (e *Engine) reclaimer() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	e.done.Go(func() {
		select {
		case <-e.closing:
			cancel()
		case <-ctx.Done():
		}
	})
	pause := minReclaimPause
	for {
		select {
		case <-ctx.Done():
			return
		case <-e.trims.wake:
		}
		if e.reclaim(ctx) {
			pause = minReclaimPause
			continue
		}
		if !e.space.pause(pause) {
			return
		}
		pause = min(2*pause, maxReclaimPause)
		e.trims.ask()
	}
}

// reclaim gives back the space of trimmed tenants until there is enough for what was refused, or nothing is left to
// give back. It returns false when there was no space for a compaction.
func (e *Engine) reclaim(ctx context.Context) bool {
	for {
		name, at := e.trims.newest()
		if name == "" || e.space.enough() || ctx.Err() != nil {
			e.space.lent.Store(0)
			return true
		}
		e.dropIdleLogs()
		err := e.giveBack(ctx, name)
		if noSpace(err) {
			e.log.Warn("no space yet to give space back", "tenant", name, "dir", e.dir)
			return false
		}
		if err != nil && ctx.Err() == nil {
			e.janitorError("give back the space of "+name, err)
		}
		e.trims.forget(name, at)
		e.space.lent.Store(0)
	}
}

// giveBack rewrites the tables that hold what was trimmed of a tenant.
func (e *Engine) giveBack(ctx context.Context, name string) error {
	t, err := e.load(name)
	if err != nil {
		return err
	}
	if b := t.durable.Load(); b != nil && b.First > 1 {
		if err := e.db.Compact(ctx, logKey(name, 0), logKey(name, b.First), false); err != nil {
			return storeError(err)
		}
	}
	if a := t.trail.durable.Load(); a != nil && a.First > 1 {
		return storeError(e.db.Compact(ctx, auditKey(name, 0), auditKey(name, a.First), false))
	}
	return nil
}

// dropIdleLogs deletes the logs that Pebble keeps to write over, five of a memtable each, so that a compaction has
// room; ReuseForWrite makes do without them. Commits do not get that room before the compaction is done: they would
// fill it, and there is no second reserve.
//
// Pebble does not name the idle ones. Its logs are numbered upwards, so live are the newest of them: as many as it
// counts now, and one that may just be being made. Those deleted are at most as many as it counts as idle. A log that
// is taken up meanwhile has another name by then.
func (e *Engine) dropIdleLogs() {
	fs := e.space.FS
	names, err := fs.List(e.dir)
	if err != nil {
		e.janitorError("list the logs", err)
		return
	}
	logs := slices.DeleteFunc(names, func(name string) bool { return !strings.HasSuffix(name, ".log") })
	slices.SortFunc(logs, func(a, b string) int { return cmp.Or(cmp.Compare(len(a), len(b)), strings.Compare(a, b)) })
	for _, name := range logs[:idleLogs(e.db, len(logs))] {
		path := fs.PathJoin(e.dir, name)
		info, err := fs.Stat(path)
		if err != nil || fs.Remove(path) != nil {
			continue // it has just been taken up
		}
		e.space.lent.Add(uint64(info.Size())) //nolint:gosec // a size
	}
}

// idleLogs returns how many of the oldest of so many logs are surely not in use. They were counted before.
func idleLogs(db *pebble.DB, logs int) int {
	wal := db.Metrics().WAL
	return max(0, min(logs-int(wal.Files)-1, int(wal.ObsoleteFiles)))
}
