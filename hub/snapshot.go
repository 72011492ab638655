package hub

import (
	"context"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/engine"
)

// A screen begins with the present state, and all screens of a bar begin at once when its network comes back. What one
// of them reads and spells of a snapshot, streams of the same class are given too; nobody holds all of it.
const (
	snapshotLife  = time.Second // how long a snapshot serves streams that begin; what came since is replayed to them
	sheetEntities = 256         // entities of one sheet
	sheetBytes    = 64 << 10    // or as many bytes
	sheetLife     = 2 * time.Second
	sheetsKept    = 16 << 20 // bytes of sheets; beyond it a sheet is for those alone who wait for it
)

// snapshots are the snapshots in use, one or two of a tenant.
type snapshots struct {
	store        Store
	read, shared atomic.Uint64 // sheets

	mu      sync.Mutex
	current map[string]*heldSnapshot // by tenant: what streams that begin now are given; nil once closed
	bytes   int                      // of the sheets kept
}

// heldSnapshot is a snapshot with its sheets. All but ready is guarded by snapshots.mu; taken and err are there when
// ready is closed.
type heldSnapshot struct {
	ready  chan struct{}
	taken  engine.Snapshot
	err    error
	users  int // and one while it is current
	sheets map[sheetKey]*sheet
}

// sheetKey is a place in a snapshot as a class sees it.
type sheetKey struct {
	class string
	after roxy.Topic
}

// sheet is a run of entities as one class is given them. All is there when ready is closed.
type sheet struct {
	ready    chan struct{}
	text     []byte
	entities int
	next     roxy.Topic // behind which the next sheet begins
	last     bool
	err      error
}

func newSnapshots(store Store) *snapshots {
	return &snapshots{store: store, current: make(map[string]*heldSnapshot)}
}

// open returns a snapshot of the tenant that is at most snapshotLife old, and whose successors are still in the log. Whoever
// has it releases it.
func (s *snapshots) open(ctx context.Context, tenant string) (*heldSnapshot, error) {
	for {
		held, err := s.any(ctx, tenant)
		if err != nil {
			return nil, err
		}
		bounds, err := s.store.Bounds(ctx, tenant)
		if err == nil && held.taken.Bounds().Head+1 >= bounds.First {
			return held, nil
		}
		s.retire(tenant, held) // retention has passed it
		s.release(held)
		if err != nil {
			return nil, err
		}
	}
}

// any is open without looking at the log.
func (s *snapshots) any(ctx context.Context, tenant string) (*heldSnapshot, error) {
	s.mu.Lock()
	if s.current == nil {
		s.mu.Unlock()
		return nil, errEnded
	}
	held := s.current[tenant]
	if held == nil {
		held = &heldSnapshot{ready: make(chan struct{}), users: 1, sheets: make(map[sheetKey]*sheet)}
		s.current[tenant] = held
		held.users++
		s.mu.Unlock()
		held.taken, held.err = s.store.Snapshot(context.WithoutCancel(ctx), tenant)
		close(held.ready)
		if held.err != nil {
			s.retire(tenant, held) // whoever comes next tries again
		} else {
			time.AfterFunc(snapshotLife, func() { s.retire(tenant, held) })
		}
	} else {
		held.users++
		s.mu.Unlock()
	}
	select {
	case <-held.ready:
	case <-ctx.Done():
		s.release(held)
		return nil, context.Cause(ctx)
	}
	if held.err != nil {
		s.release(held)
		return nil, held.err
	}
	return held, nil
}

// retire gives a snapshot to nobody else.
func (s *snapshots) retire(tenant string, held *heldSnapshot) {
	s.mu.Lock()
	mine := s.current[tenant] == held
	if mine {
		delete(s.current, tenant)
	}
	s.mu.Unlock()
	if mine {
		s.release(held)
	}
}

func (s *snapshots) release(held *heldSnapshot) {
	s.mu.Lock()
	held.users--
	over := held.users == 0
	s.mu.Unlock()
	if over && held.taken != nil {
		held.taken.Close()
	}
}

// close retires all and gives out no more: a stream that outlived the hub's patience may still ask.
func (s *snapshots) close() {
	s.mu.Lock()
	all := s.current
	s.current = nil
	s.mu.Unlock()
	for _, held := range all {
		<-held.ready
		s.release(held)
	}
}

// sheet returns the sheet of a class behind a topic: known, being read by another stream, or read for this one by fill.
func (s *snapshots) sheet(ctx context.Context, held *heldSnapshot, key sheetKey, fill func(*sheet)) (*sheet, error) {
	s.mu.Lock()
	sh := held.sheets[key]
	if sh == nil {
		sh = &sheet{ready: make(chan struct{})}
		held.sheets[key] = sh
		s.mu.Unlock()
		s.read.Add(1)
		fill(sh)
		close(sh.ready)
		s.keep(held, key, sh)
	} else {
		s.mu.Unlock()
		s.shared.Add(1)
	}
	select {
	case <-sh.ready:
		return sh, sh.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// keep has a sheet known for a while, when there is room.
func (s *snapshots) keep(held *heldSnapshot, key sheetKey, sh *sheet) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if sh.err != nil || s.bytes+cap(sh.text) > sheetsKept {
		delete(held.sheets, key)
		return
	}
	s.bytes += cap(sh.text)
	time.AfterFunc(sheetLife, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(held.sheets, key)
		s.bytes -= cap(sh.text)
	})
}

// snapshot gives the stream the present entities of its patterns, and moves it to the position at which they are so.
// It returns how many there were.
func (st *stream) snapshot(ctx context.Context) (*uint64, error) {
	held, err := st.hub.snapshots.open(ctx, st.sub.Identity.Tenant)
	if err != nil {
		return nil, err
	}
	var given uint64
	defer st.hub.snapshots.release(held)
	key := sheetKey{class: viewKey(&st.sub, st.views)}
	for {
		if err := st.afford(ctx, replayBegin); err != nil {
			return nil, err
		}
		sh, err := st.hub.snapshots.sheet(ctx, held, key, func(sh *sheet) { st.fill(context.WithoutCancel(ctx), held.taken, key.after, sh) })
		if err != nil {
			return nil, err
		}
		if sh.entities > 0 {
			if err := st.write(sh.text, sh.entities); err != nil {
				return nil, err
			}
		}
		given += uint64(sh.entities)                      //nolint:gosec // never negative
		st.hub.stats.entitiesOut.Add(uint64(sh.entities)) //nolint:gosec // never negative
		if st.over() {
			return nil, errEnded
		}
		if err := st.due(); err != nil {
			return nil, err
		}
		if sh.last {
			break
		}
		key.after = sh.next
	}
	at := held.taken.Bounds().Head // which may be behind where the stream began: what came since is replayed
	if st.device != nil {
		at = min(at, st.sent) // and what waited for the device, though entities are further by now
	}
	st.moveTo(at)
	st.whole = true
	return &given, nil
}

// fill reads and spells one sheet.
func (st *stream) fill(ctx context.Context, from engine.Snapshot, after roxy.Topic, sh *sheet) {
	hidden := st.views.hiddenFrom(st.sub.Identity.Roles)
	var envelope []byte
	for e, err := range from.Entities(ctx, st.sub.Patterns, after) {
		if err != nil {
			sh.err = err
			return
		}
		if sh.entities == sheetEntities || len(sh.text) >= sheetBytes {
			return
		}
		e.Data = st.views.view(st.views.on(e.Topic).and(hidden)).Redact(e.Data)
		envelope = appendEntity(envelope[:0], &e)
		sh.text = st.sub.Encoding.AppendEvent(sh.text, roxy.Cursor{}, "roxy:entity", envelope)
		sh.entities++
		sh.next = e.Topic
	}
	sh.last = true
}

// appendEntity appends the JSON object that carries an entity of a snapshot.
func appendEntity(dst []byte, e *roxy.Entity) []byte {
	dst = append(dst, `{"topic":"`...)
	dst = append(dst, e.Topic.String()...)
	dst = append(dst, `","version":`...)
	dst = strconv.AppendUint(dst, e.Version, 10)
	dst = append(dst, `,"time":"`...)
	dst = e.Time.AppendFormat(dst, time.RFC3339Nano)
	dst = append(dst, `","data":`...)
	dst = append(dst, e.Data...)
	return append(dst, '}')
}
