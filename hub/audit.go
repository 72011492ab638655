package hub

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/engine"
)

// Bounds of the auditor.
const (
	noteEvery = 100 * time.Millisecond // how long a row waits for others
	noteBatch = 500                    // so many are noted without waiting
	// maxUnnoted bounds the rows that wait, of all tenants: some seconds of the fastest reconnection of all tablets, 5 MB.
	maxUnnoted = 16384
	noteRetry  = time.Second // after the store could not take rows
)

// auditor notes what the hub sees, and the engine does not, in the tenants' audit trails. Whoever tells it does not wait:
// rows are noted in batches, a moment later. When too many wait, the newest are counted instead, and the count is noted.
type auditor struct {
	hub *Hub

	mu      sync.Mutex
	rows    map[string][]roxy.AuditRow // by tenant
	waiting int
	lost    map[string]uint64 // rows that are to be told by a gap

	wake    chan struct{} // readable when a row waits
	hurry   chan struct{} // readable when noteBatch wait
	closing chan struct{}
	over    func() // closes closing
	done    chan struct{}
}

func startAuditor(h *Hub) *auditor {
	a := &auditor{
		hub: h, rows: make(map[string][]roxy.AuditRow), lost: make(map[string]uint64),
		wake: make(chan struct{}, 1), hurry: make(chan struct{}, 1), closing: make(chan struct{}), done: make(chan struct{}),
	}
	a.over = sync.OnceFunc(func() { close(a.closing) })
	go func() {
		defer close(a.done)
		a.run()
	}()
	return a
}

// close notes what waits and waits for it. Rows that come later are not noted.
func (a *auditor) close() {
	a.over()
	<-a.done
}

// note has a row noted soon.
func (a *auditor) note(tenant string, row roxy.AuditRow) {
	if engine.SystemTenant(tenant) {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.waiting >= maxUnnoted {
		a.lost[tenant]++
		a.hub.stats.unnoted.Add(1)
		return
	}
	a.rows[tenant] = append(a.rows[tenant], row)
	a.waiting++
	signal(a.wake)
	if a.waiting >= noteBatch {
		signal(a.hurry)
	}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default: // it is readable already
	}
}

// run notes batches until close.
func (a *auditor) run() {
	for {
		closing := false
		select {
		case <-a.wake:
		case <-a.closing:
			closing = true
		}
		wait := noteEvery
		for !closing {
			select {
			case <-time.After(wait):
			case <-a.hurry:
			case <-a.closing:
				closing = true
			}
			if a.flush() || closing {
				break
			}
			wait = noteRetry // for what was lost
		}
		if closing {
			a.flush()
			return
		}
	}
}

// flush notes all that waits. It returns false when some of it was lost and could not even be told.
func (a *auditor) flush() bool {
	a.mu.Lock()
	rows, lost := a.rows, a.lost
	a.rows, a.waiting, a.lost = make(map[string][]roxy.AuditRow), 0, make(map[string]uint64)
	a.mu.Unlock()
	for tenant := range lost {
		if rows[tenant] == nil {
			rows[tenant] = []roxy.AuditRow{}
		}
	}
	whole := true
	for tenant, batch := range rows {
		if n := lost[tenant]; n > 0 {
			batch = append(batch, gapOf(n))
		}
		if err := a.noteNow(context.WithoutCancel(a.hub.running), tenant, batch); err != nil {
			whole = false
			n := uint64(len(rows[tenant])) //nolint:gosec // a length
			a.hub.stats.unnoted.Add(n)
			a.hub.logger.Warn("rows of the audit were lost", slog.String("tenant", tenant), slog.Uint64("rows", n), slog.Any("error", err))
			a.mu.Lock()
			a.lost[tenant] += n + lost[tenant]
			a.mu.Unlock()
		}
	}
	return whole
}

func gapOf(n uint64) roxy.AuditRow {
	return roxy.AuditRow{Kind: roxy.AuditGap, Count: n, Detail: "rows that the hub could not note"}
}

func (a *auditor) noteNow(ctx context.Context, tenant string, rows []roxy.AuditRow) error {
	ctx, cancel := context.WithTimeout(ctx, a.hub.opts.CommitTimeout)
	defer cancel()
	return a.hub.store.Note(ctx, tenant, rows)
}

// noteConnect notes that the stream began. Those that wait for a subscription do not count.
func (st *stream) noteConnect() {
	if len(st.sub.Patterns) == 0 {
		return
	}
	row := st.auditRow(roxy.AuditConnect)
	var patterns []string
	for _, p := range st.sub.Patterns {
		patterns = append(patterns, p.String())
	}
	row.Detail = "reads " + strings.Join(patterns, " ")
	if st.sub.After != nil {
		row.Detail += ", behind " + st.sub.After.String()
	}
	st.hub.auditor.note(st.sub.Identity.Tenant, row)
}

// noteDisconnect notes that the stream is over.
func (st *stream) noteDisconnect(reason string) {
	if len(st.sub.Patterns) == 0 {
		return
	}
	row := st.auditRow(roxy.AuditDisconnect)
	row.Reason, row.Detail = reason, "after "+time.Since(st.since).Round(time.Millisecond).String()
	st.hub.auditor.note(st.sub.Identity.Tenant, row)
}

func (st *stream) auditRow(kind roxy.AuditKind) roxy.AuditRow {
	return roxy.AuditRow{
		Kind: kind, User: st.sub.Identity.User, Device: st.sub.Device, Connection: st.sub.Connection,
		Transport: st.sub.Transport, Remote: st.sub.Remote,
	}
}

// NoteRefusal has it noted that something was refused: by's user and tenant are known, so a token was good. What was
// refused for load is not noted, which would add to it; metrics tell.
func (h *Hub) NoteRefusal(by roxy.Identity, remote, route, correlation string, p *roxy.Problem) {
	if slices.Contains([]roxy.Code{roxy.RateLimited, roxy.Overloaded, roxy.NotReady, roxy.Internal}, p.Code) {
		return
	}
	row := roxy.AuditRow{
		Kind: roxy.AuditRefusal, User: by.User, Correlation: correlation, Reason: string(p.Code), Member: p.Member, Remote: remote, Detail: route,
	}
	if p.Code == roxy.Forbidden {
		row.Detail += ": " + p.Detail // the details of others may hold what was sent
	}
	h.auditor.note(by.Tenant, row)
}

// NoteAct has it noted that an administrator did something: drain, export, import and so on.
func (h *Hub) NoteAct(by roxy.Identity, remote, act, detail string) {
	h.auditor.note(by.Tenant, actOf(by, remote, act, detail))
}

func actOf(by roxy.Identity, remote, act, detail string) roxy.AuditRow {
	return roxy.AuditRow{Kind: roxy.AuditAdmin, User: by.User, Reason: act, Remote: remote, Detail: detail}
}

// RevokeBy is Revoke by somebody, who is in the tenant's audit when it returns.
func (h *Hub) RevokeBy(ctx context.Context, by roxy.Identity, remote string, r roxy.Revocation) error {
	if err := h.Revoke(ctx, r); err != nil {
		return err
	}
	row := roxy.AuditRow{Kind: roxy.AuditRevocation, User: by.User, Remote: remote, Reason: "user", Detail: fmt.Sprintf("tokens of %q issued before %s", r.User, r.Before.UTC().Format(time.RFC3339))}
	if r.TokenID != "" {
		row.Reason, row.Detail = "token", fmt.Sprintf("the token %q", r.TokenID)
	}
	if err := h.auditor.noteNow(ctx, r.Tenant, []roxy.AuditRow{row}); err != nil {
		return h.failed(ctx, r.Tenant, 1, err)
	}
	return nil
}

// Audited yields the rows of a tenant's audit trail that query selects, and tells what the trail holds.
func (h *Hub) Audited(ctx context.Context, tenant string, query engine.AuditQuery) (iter.Seq2[roxy.AuditEntry, error], engine.AuditBounds, error) {
	bounds, err := h.store.AuditBounds(ctx, tenant)
	if err != nil {
		return nil, engine.AuditBounds{}, unreadable("audit", err)
	}
	rows := h.store.Audited(ctx, tenant, query)
	return func(yield func(roxy.AuditEntry, error) bool) {
		for entry, err := range rows {
			if err != nil {
				if errors.Is(err, engine.ErrCorrupt) {
					h.logger.LogAttrs(ctx, slog.LevelError, "the audit is corrupt", slog.String("tenant", tenant), slog.Any("error", err))
				}
				err = unreadable("audit", err)
			}
			if !yield(entry, err) {
				return
			}
		}
	}, bounds, nil
}
