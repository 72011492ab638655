// Package disk is the embedded engine: each tenant's log in one Pebble store beneath a directory. It owns group
// commit, the keys of the store, retention, and what happens when the disk is full; it knows nothing of grants,
// subscribers or the network. It imports engine and roxy.
//
// One goroutine, the committer, writes: it takes all the calls that wait, gives each event its place, writes them as
// one batch with one sync, shows them to the tails and answers. Readers never wait for it.
package disk

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/roxyhub/roxy/engine"
)

// Defaults of Options.
const (
	// DefaultMinFree leaves room for a memtable's flush and for the log written meanwhile, twice over.
	DefaultMinFree = 64 << 20
	// DefaultIdempotencyTTL is what docs/protocol.md §3 promises.
	DefaultIdempotencyTTL = 24 * time.Hour
	// DefaultDeviceAge is that of a mailbox.
	DefaultDeviceAge = 24 * time.Hour
	// DefaultMaxOpenAcks is far beyond what people can confirm.
	DefaultMaxOpenAcks = 10_000
)

// Bounds that nobody needs to set.
const (
	memTableBytes = 16 << 20 // what a restart may have to read again: about 0.1 s
	memTables     = 4        // at most that many wait to be written to tables
	// cacheBytes is for blocks and memtables together: Pebble takes the memtables out of it, and with none left for
	// blocks it read the filters from disk for every idempotency key.
	cacheBytes   = 64<<20 + memTables*memTableBytes
	queueCalls   = 4096             // calls that wait for the committer; more wait for a place among them
	closeTimeout = 10 * time.Second // for a committer that waits for space on a full disk
)

// Options says how an Engine keeps its logs. The zero Options keep everything for ever on the real file system.
type Options struct {
	// FS is where the directory lies. Nil means the operating system's.
	FS vfs.FS
	// Retention bounds each tenant's log. The hub's own tenants (engine.SystemTenant) have bounds of their own.
	Retention Retention
	// Audit bounds each tenant's trail and says what it tells of. The hub's own tenants have none.
	Audit Audit
	// MinFree is how many bytes of the disk stay free: below it commits are refused. Zero means DefaultMinFree.
	MinFree uint64
	// IdempotencyTTL is how long a repeated key finds its first receipt. Zero means DefaultIdempotencyTTL.
	IdempotencyTTL time.Duration
	// DeviceAge is how long a device that is not heard of counts among those that critical events are for. Zero means
	// DefaultDeviceAge.
	DeviceAge time.Duration
	// MaxOpenAcks bounds each tenant's critical events that are not settled. Zero means DefaultMaxOpenAcks.
	MaxOpenAcks int
	// MaxOpenFiles bounds the descriptors of the store's tables, of which it keeps 64 at least. Zero means Pebble's 1,000.
	MaxOpenFiles int
	// Logger gets what an operator should act on. Nil discards.
	Logger *slog.Logger

	now func() time.Time // the clock; tests move it
}

// Engine is an open store. It is safe for concurrent use.
type Engine struct {
	dir   string
	opts  Options
	log   *slog.Logger
	db    *pebble.DB
	space *space
	acked *acked
	stats counters

	tenants tenants
	queue   chan *call
	tails   tails

	closing   chan struct{} // closed when Close begins
	done      sync.WaitGroup
	reads     sync.WaitGroup
	readGate  sync.RWMutex // held for writing once, to close it
	closed    bool         // guarded by readGate
	closeErr  func() error
	failure   atomic.Pointer[error] // why nothing can be written any more
	broken    chan struct{}         // closed with failure
	states    stateCache            // the committer's
	spell     auditSpeller          // the committer's
	stopped   chan struct{}         // closed when the committer has ended
	overgrown chan string           // tenants with too many events, for the janitor
	trims     *trims                // what the reclaimer may give back on a full disk
	forgot    time.Time             // when devices were forgotten last; the janitor's
	dropped   uint32                // idempotency keys of buckets before it are deleted; the committer's
}

// Open opens the store in dir, creating it when there is none. The error wraps engine.ErrCorrupt when its files are
// not what was written. Two engines never share a directory.
func Open(dir string, opts Options) (*Engine, error) {
	if opts.FS == nil {
		opts.FS = vfs.Default
	}
	if opts.MinFree == 0 {
		opts.MinFree = DefaultMinFree
	}
	if opts.IdempotencyTTL == 0 {
		opts.IdempotencyTTL = DefaultIdempotencyTTL
	}
	if opts.DeviceAge == 0 {
		opts.DeviceAge = DefaultDeviceAge
	}
	if opts.MaxOpenAcks == 0 {
		opts.MaxOpenAcks = DefaultMaxOpenAcks
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	if opts.now == nil {
		opts.now = time.Now
	}
	e := &Engine{
		dir:       dir,
		opts:      opts,
		log:       opts.Logger,
		queue:     make(chan *call, queueCalls),
		closing:   make(chan struct{}),
		stopped:   make(chan struct{}),
		overgrown: make(chan string, 16),
		trims:     newTrims(),
		broken:    make(chan struct{}),
		stats:     newCounters(),
	}
	e.tenants.byName = make(map[string]*tenant)
	e.tails.init()
	e.closeErr = sync.OnceValue(e.close)
	if err := opts.FS.MkdirAll(dir, 0o750); err != nil {
		return nil, fmt.Errorf("open %s: %w", dir, err)
	}
	e.space = newSpace(opts.FS, dir, opts.MinFree, e.log)
	db, err := openStore(dir, e)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", dir, storeError(err))
	}
	e.db = db
	if e.acked, err = openAcked(opts.FS, dir, db); err != nil {
		return nil, fmt.Errorf("open %s: %w", dir, errors.Join(storeError(err), db.Close()))
	}
	e.done.Go(e.commitLoop)
	e.done.Go(e.janitor)
	e.done.Go(e.reclaimer)
	return e, nil
}

// openStore opens Pebble with what suits a log: append mostly, read in order, delete by range.
func openStore(dir string, e *Engine) (*pebble.DB, error) {
	cache := pebble.NewCache(cacheBytes)
	defer cache.Unref()
	logger := storeLogger{log: e.log, fatal: e.fail}
	opts := &pebble.Options{
		FS:                          e.space,
		Cache:                       cache,
		FormatMajorVersion:          pebble.FormatNewest,
		Logger:                      logger,
		MemTableSize:                memTableBytes,
		MemTableStopWritesThreshold: memTables,
		L0CompactionThreshold:       4,
		L0StopWritesThreshold:       32,
		LBaseMaxBytes:               128 << 20,
		BytesPerSync:                512 << 10,
		MaxOpenFiles:                e.opts.MaxOpenFiles,
		EventListener: &pebble.EventListener{
			BackgroundError: func(err error) { e.log.Error("store works in vain", "err", storeError(err)) },
			DataCorruption: func(info pebble.DataCorruptionInfo) {
				e.log.Error("stored data is corrupt", "err", info.Details, "path", info.Path)
			},
		},
	}
	opts.TargetFileSizes[0] = 8 << 20
	for i := range opts.Levels {
		opts.Levels[i].BlockSize = 16 << 10
		opts.Levels[i].IndexBlockSize = 256 << 10
		opts.Levels[i].FilterPolicy = bloom.FilterPolicy(10) // idempotency keys are looked up and mostly not there
	}
	return pebble.Open(dir, opts)
}

// Bounds tells what the tenant's log holds, as engine.Log says.
func (e *Engine) Bounds(ctx context.Context, tenant string) (engine.Bounds, error) {
	t, err := e.load(tenant)
	if err != nil {
		return engine.Bounds{}, err
	}
	if t.busy.Load() {
		return engine.Bounds{}, restoringProblem(tenant)
	}
	if b := t.durable.Load(); b != nil {
		return *b, nil
	}
	if _, err := e.Commit(ctx, tenant, nil); err != nil {
		return engine.Bounds{}, err
	}
	return *t.durable.Load(), nil
}

// load returns the tenant, or ErrClosed.
func (e *Engine) load(tenant string) (*tenant, error) {
	leave, err := e.enter()
	if err != nil {
		return nil, err
	}
	defer leave()
	return e.tenants.get(e.db, tenant)
}

// enter keeps the store open until leave is called. Nobody holds it while a caller's code runs.
func (e *Engine) enter() (leave func(), err error) {
	e.readGate.RLock()
	defer e.readGate.RUnlock()
	if e.closed {
		return nil, engine.ErrClosed
	}
	e.reads.Add(1)
	return e.reads.Done, nil
}

// fail stops all writing: after a failed sync nobody knows what the disk holds, and only a restart finds out.
func (e *Engine) fail(err error) {
	err = fmt.Errorf("the store cannot be written any more and must be opened again: %w", err)
	if e.failure.CompareAndSwap(nil, &err) {
		close(e.broken)
		e.log.Error("store failed", "err", err)
	}
}

func (e *Engine) failed() error {
	if p := e.failure.Load(); p != nil {
		return *p
	}
	return nil
}

// Close refuses new calls, ends the tails, waits for the commit and the reads under way and closes the store. Calling
// it again returns the same error.
func (e *Engine) Close() error { return e.closeErr() }

func (e *Engine) close() error {
	close(e.closing)
	e.tails.close()
	e.space.close()
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		e.done.Wait()
	}()
	select {
	case <-stopped:
	case <-time.After(closeTimeout):
		return fmt.Errorf("close %s: a commit still waits for the disk after %s; what it wrote is read again at the next start", e.dir, closeTimeout)
	}
	e.readGate.Lock()
	e.closed = true
	e.readGate.Unlock()
	e.reads.Wait()
	err := errors.Join(e.acked.file.Close(), e.db.Close())
	if failure := e.failed(); failure != nil {
		return errors.Join(failure, err)
	}
	return err
}

// storeLogger hands Pebble's lines to slog. A fatal one does not end the process: reads go on, writes stop.
type storeLogger struct {
	log   *slog.Logger
	fatal func(error)
}

func (l storeLogger) Infof(format string, args ...any) {
	if l.log.Enabled(context.Background(), slog.LevelDebug) {
		l.log.Debug("store", "line", fmt.Sprintf(format, args...))
	}
}

func (l storeLogger) Errorf(format string, args ...any) {
	l.log.Error("store", "line", fmt.Sprintf(format, args...))
}

func (l storeLogger) Fatalf(format string, args ...any) {
	l.fatal(fmt.Errorf(format, args...))
}
