package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"syscall"

	"github.com/go-json-experiment/json"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/engine"
	"github.com/roxyhub/roxy/engine/disk"
)

// maxAuditLine bounds a line of an export of the audit: the longest row is a few KiB.
const maxAuditLine = 1 << 20

// auditReader reads what GET /v1/admin/audit wrote as lines.
type auditReader struct {
	in     *bufio.Scanner
	number int // of the line read last
	anchor *auditAnchor
}

// auditAnchor is the first line: the hash of the row before the first.
type auditAnchor struct {
	Tenant string `json:"tenant"`
	Seq    uint64 `json:"seq"`
	Hash   string `json:"hash"`

	hash roxy.AuditHash
}

func newAuditReader(from io.Reader) *auditReader {
	in := bufio.NewScanner(from)
	in.Buffer(nil, maxAuditLine)
	return &auditReader{in: in}
}

// next returns the next row, or io.EOF. The anchor is in r once the first line was read.
func (r *auditReader) next() (roxy.AuditEntry, roxy.AuditRow, error) {
	for r.in.Scan() {
		r.number++
		line := r.in.Bytes()
		if r.number == 1 && bytes.HasPrefix(line, []byte(`{"tenant":`)) {
			anchor, err := parseAnchor(line)
			if err != nil {
				return roxy.AuditEntry{}, roxy.AuditRow{}, fmt.Errorf("line 1: %w", err)
			}
			r.anchor = anchor
			continue
		}
		entry, row, err := roxy.ParseAuditLine(line)
		if err != nil {
			err = fmt.Errorf("line %d: %w", r.number, err)
		}
		return entry, row, err
	}
	if err := r.in.Err(); err != nil {
		return roxy.AuditEntry{}, roxy.AuditRow{}, fmt.Errorf("line %d: %w", r.number+1, err)
	}
	return roxy.AuditEntry{}, roxy.AuditRow{}, io.EOF
}

func parseAnchor(line []byte) (*auditAnchor, error) {
	var a auditAnchor
	err := json.Unmarshal(line, &a, json.RejectUnknownMembers(true))
	if err == nil {
		a.hash, err = roxy.ParseAuditHash(a.Hash)
	}
	if err == nil {
		err = roxy.CheckTenant(a.Tenant)
	}
	if err == nil && a.Seq == 0 && a.hash != roxy.AuditGenesis(a.Tenant) {
		err = fmt.Errorf("not the hash before the first row of the tenant %q", a.Tenant)
	}
	return &a, err
}

// auditChain follows the rows of one trail.
type auditChain struct {
	seq  uint64
	hash roxy.AuditHash
	rows int
	head *auditHead
}

// auditHead is a row that somebody noted elsewhere.
type auditHead struct {
	seq  uint64
	hash roxy.AuditHash
	seen bool
}

func parseHead(text string) (*auditHead, error) {
	if text == "" {
		return nil, nil //nolint:nilnil // none is no error
	}
	digits, hash, _ := strings.Cut(text, ":")
	seq, err := strconv.ParseUint(digits, 10, 64)
	if err != nil {
		return nil, fmt.Errorf("--head %q: want SEQ:HASH", text)
	}
	h := &auditHead{seq: seq}
	if h.hash, err = roxy.ParseAuditHash(hash); err != nil {
		return nil, fmt.Errorf("--head: %w", err)
	}
	return h, nil
}

// check returns an error unless the row that somebody noted was there.
func (h *auditHead) check() error {
	if h == nil || h.seen {
		return nil
	}
	return fmt.Errorf("the row %d with the hash %s is not there: rows are missing at the end, or others were written in their place", h.seq, h.hash)
}

// begin sets what comes before the first row.
func (c *auditChain) begin(seq uint64, hash roxy.AuditHash) {
	c.seq, c.hash = seq, hash
	c.look()
}

func (c *auditChain) look() {
	if c.head != nil && c.head.seq == c.seq && c.head.hash == c.hash {
		c.head.seen = true
	}
}

// follow takes the next row, or says why it is not what was written.
func (c *auditChain) follow(entry *roxy.AuditEntry) error {
	if entry.Seq != c.seq+1 {
		return fmt.Errorf("row %d stands where row %d should", entry.Seq, c.seq+1)
	}
	if hash := c.hash.Next(entry.JSON); hash != entry.Hash {
		return fmt.Errorf("row %d or what is before it is not what was written: its hash is %s, and %s is told", entry.Seq, hash, entry.Hash)
	}
	c.seq, c.hash = entry.Seq, entry.Hash
	c.rows++
	c.look()
	return nil
}

// isAudit reports whether the file is an export of the audit, and no configuration.
func isAudit(name string) (bool, error) {
	file, err := os.Open(name) //nolint:gosec // the operator's choice
	if err != nil {
		return false, err
	}
	defer func() { _ = file.Close() }()
	in := bufio.NewScanner(file)
	in.Buffer(nil, maxAuditLine)
	return in.Scan() && bytes.HasPrefix(in.Bytes(), []byte("{")) && bytes.Contains(in.Bytes(), []byte(`"hash":"`)), nil
}

// checkAuditFile verifies an export.
func checkAuditFile(out io.Writer, name, head string) error {
	file, err := os.Open(name) //nolint:gosec // the operator's choice
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	told, err := verifyExport(file, head)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	_, err = fmt.Fprintf(out, "%s is what was written: %s\n", name, told)
	return err
}

func verifyExport(from io.Reader, head string) (told string, err error) {
	var chain auditChain
	if chain.head, err = parseHead(head); err != nil {
		return "", err
	}
	in := newAuditReader(from)
	for {
		entry, _, err := in.next()
		if errors.Is(err, io.EOF) && in.anchor != nil {
			break
		}
		if err == nil && in.anchor == nil {
			err = errors.New("line 1: it does not begin with the hash of the row before the first: only what --from and --to alone select can be verified")
		}
		if err != nil {
			return "", err
		}
		if chain.rows == 0 {
			chain.begin(in.anchor.Seq, in.anchor.hash)
		}
		if err := chain.follow(&entry); err != nil {
			return "", fmt.Errorf("line %d: %w", in.number, err)
		}
	}
	if err := chain.head.check(); err != nil {
		return "", err
	}
	return trailText(in.anchor.Tenant, &chain), nil
}

func trailText(tenant string, c *auditChain) string {
	if c.rows == 0 {
		return fmt.Sprintf("%s has no rows", tenant)
	}
	return fmt.Sprintf("%s has %d rows, %d to %d; head %d:%s", tenant, c.rows, c.seq+1-uint64(c.rows), c.seq, c.seq, c.hash) //nolint:gosec // not negative
}

// checkAudit verifies the trails of all tenants of a data folder, which no hub may have open.
func checkAudit(ctx context.Context, out io.Writer, folder, head string) (err error) {
	if _, err := os.Stat(folder); err != nil {
		return err // Open would make it
	}
	noted, err := parseHead(head)
	if err != nil {
		return err
	}
	store, err := disk.Open(folder, disk.Options{})
	if errors.Is(err, syscall.EAGAIN) {
		return fmt.Errorf("a hub has the folder %s open: stop it, or check what it exports: roxy audit --json > audit.ndjson, then roxy check audit.ndjson --audit", folder)
	}
	if err != nil {
		return fmt.Errorf("open the data in %s: %w", folder, err)
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	names, err := store.Tenants()
	if err != nil {
		return err
	}
	bad := 0
	for _, name := range names {
		if engine.SystemTenant(name) {
			continue
		}
		chain := auditChain{head: noted}
		if err := chain.read(ctx, store, name); err != nil {
			bad++
			_, _ = fmt.Fprintf(out, "  audit       of %s is NOT what was written: %v\n", name, err)
			continue
		}
		_, _ = fmt.Fprintf(out, "  audit       %s\n", trailText(name, &chain))
	}
	if bad > 0 {
		return fmt.Errorf("%d of the audit trails in %s are not what was written", bad, folder)
	}
	return noted.check()
}

// read follows a stored trail from its first row to its head.
func (c *auditChain) read(ctx context.Context, store engine.Audit, tenant string) error {
	b, err := store.AuditBounds(ctx, tenant)
	if err != nil {
		return err
	}
	c.begin(b.First-1, b.Before)
	for entry, err := range store.Audited(ctx, tenant, engine.AuditQuery{}) {
		if err == nil {
			err = c.follow(&entry)
		}
		if err != nil {
			return err
		}
	}
	if c.seq != b.Head || c.hash != b.Hash {
		return fmt.Errorf("it ends with row %d, and the head is %d", c.seq, b.Head)
	}
	if b.First == 1 && b.Before != roxy.AuditGenesis(tenant) {
		return errors.New("it does not begin where a trail begins")
	}
	return nil
}
