package disk

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"strconv"
	"time"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/engine"
)

// auditBlock is the rows that one group noted of one tenant: one key and one value, so that a publish that is audited
// costs an append and a hash and not a key of its own. Its rows stand one behind the other and have one time, which is
// stored once.
//
// Record: version 1 · time 8, Unix nanoseconds · total 8, bytes of all blocks of the tenant ever, this one included ·
// hash of the row before 32 · count 4 · the rows · CRC-32C of all before, 4. A row is its length, 4, and its JSON behind
// the stamp, from the comma on. A block without rows stands where all were forgotten, for the hash.
type auditBlock struct {
	first uint64 // of its rows, from the key
	time  int64
	total uint64
	prev  roxy.AuditHash
	count int
	rows  []byte
}

const (
	auditVersion = 1
	auditHead    = 1 + 8 + 8 + len(roxy.AuditHash{}) + 4
	auditFixed   = auditHead + 4
)

// put writes the block's record to dst, which has auditFixed bytes more than rows.
func (b *auditBlock) put(dst []byte) {
	dst[0] = auditVersion
	binary.BigEndian.PutUint64(dst[1:], uint64(b.time)) //nolint:gosec // turned back by decodeAudit
	binary.BigEndian.PutUint64(dst[9:], b.total)
	copy(dst[17:], b.prev[:])
	binary.BigEndian.PutUint32(dst[auditHead-4:], uint32(b.count)) //nolint:gosec // of rows in memory
	end := auditHead + copy(dst[auditHead:], b.rows)
	binary.BigEndian.PutUint32(dst[end:], crc32.Checksum(dst[:end], crc32.MakeTable(crc32.Castagnoli)))
}

// decodeAudit returns the block whose record is value, sharing its memory.
func decodeAudit(first uint64, value []byte) (auditBlock, error) {
	if len(value) < auditFixed || value[0] != auditVersion {
		return auditBlock{}, corruptAudit(first, "a block of %d bytes", len(value))
	}
	end := len(value) - 4
	if crc32.Checksum(value[:end], crc32.MakeTable(crc32.Castagnoli)) != binary.BigEndian.Uint32(value[end:]) {
		return auditBlock{}, corruptAudit(first, "a wrong checksum")
	}
	b := auditBlock{
		first: first, time: int64(binary.BigEndian.Uint64(value[1:])), total: binary.BigEndian.Uint64(value[9:]), //nolint:gosec // as put wrote it
		prev: roxy.AuditHash(value[17:]), count: int(binary.BigEndian.Uint32(value[auditHead-4:])), rows: value[auditHead:end],
	}
	rest, n := b.rows, 0
	for len(rest) > 0 {
		if len(rest) < 4 || int64(len(rest)-4) < int64(binary.BigEndian.Uint32(rest)) {
			return auditBlock{}, corruptAudit(first, "row %d is cut", n)
		}
		rest, n = rest[4+binary.BigEndian.Uint32(rest):], n+1
	}
	if n != b.count || first == 0 || first+uint64(n) < first {
		return auditBlock{}, corruptAudit(first, "%d rows where %d should be", n, b.count)
	}
	return b, nil
}

func corruptAudit(first uint64, format string, args ...any) error {
	return fmt.Errorf("%w: audit block at %d: "+format, append([]any{engine.ErrCorrupt, first}, args...)...)
}

// last returns the newest row of the block; first-1 when it has none.
func (b *auditBlock) last() uint64 { return b.first + uint64(b.count) - 1 } //nolint:gosec // not negative

// nextAuditRow takes the first of rows off and returns it, without its stamp.
func nextAuditRow(rows []byte) (rest, others []byte) {
	n := 4 + binary.BigEndian.Uint32(rows)
	return rows[4:n], rows[n:]
}

// auditSpeller spells the rows of blocks and hashes them. It keeps its memory.
type auditSpeller struct {
	time []byte // what stands behind seq
	text []byte // the hash before, and the row
}

// at sets the time of the rows that follow.
func (s *auditSpeller) at(nanos int64) {
	s.text = roxy.AppendAuditStamp(s.text[:0], 0, time.Unix(0, nanos))
	s.time = append(s.time[:0], s.text[len(auditSeq)+1:]...)
}

// auditSeq is how a row begins.
const auditSeq = `{"seq":`

// row returns the row's JSON, valid until the next call, and its hash.
func (s *auditSpeller) row(prev *roxy.AuditHash, seq uint64, rest []byte) (text []byte, hash roxy.AuditHash) {
	s.text = append(s.text[:0], prev[:]...)
	s.text = append(s.text, auditSeq...)
	s.text = strconv.AppendUint(s.text, seq, 10)
	s.text = append(s.text, s.time...)
	s.text = append(s.text, rest...)
	return s.text[len(prev):], sha256.Sum256(s.text)
}

// end returns the hash of the newest row of the block.
func (s *auditSpeller) end(b *auditBlock) roxy.AuditHash {
	s.at(b.time)
	hash, rows := b.prev, b.rows
	for seq := b.first; len(rows) > 0; seq++ {
		var rest []byte
		rest, rows = nextAuditRow(rows)
		_, hash = s.row(&hash, seq, rest)
	}
	return hash
}
