package roxy

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"time"
	"unicode/utf8"
)

// AuditKind is what a row of the audit trail tells of.
type AuditKind string

// The kinds. What the members of a row mean for each of them: docs/protocol.md §8.
const (
	AuditPublish      AuditKind = "publish"
	AuditMutation     AuditKind = "mutation"
	AuditCancellation AuditKind = "cancellation" // of a mutation
	AuditRefusal      AuditKind = "refusal"      // Reason is the problem's code
	AuditConnect      AuditKind = "connect"
	AuditDisconnect   AuditKind = "disconnect" // Reason says why
	AuditDevice       AuditKind = "device"     // Reason: registered, forgotten, skipped (it could not be given what it missed)
	AuditDelivery     AuditKind = "delivery"   // of a critical event; Reason: written, delivered
	AuditAck          AuditKind = "ack"
	AuditSettled      AuditKind = "settled" // Reason: acknowledged, attempts, ttl, no-audience, retention
	AuditRedelivery   AuditKind = "redelivery"
	AuditRevocation   AuditKind = "revocation"
	AuditAdmin        AuditKind = "admin" // an administrator's act; Reason names it
	AuditGap          AuditKind = "gap"   // Count rows were not noted, for want of time
)

// AuditKinds returns all kinds.
func AuditKinds() []AuditKind {
	return []AuditKind{
		AuditPublish, AuditMutation, AuditCancellation, AuditRefusal, AuditConnect, AuditDisconnect, AuditDevice,
		AuditDelivery, AuditAck, AuditSettled, AuditRedelivery, AuditRevocation, AuditAdmin, AuditGap,
	}
}

// AuditRow is one thing that happened in a tenant. Members that say nothing are empty. No row holds a token, a ticket or
// the data of an event.
type AuditRow struct {
	Seq  uint64    // from 1, without hole; the engine sets it
	Time time.Time // UTC, when the row was noted, never decreasing along a trail; the engine sets it

	Event       string // the cursor of the event in question
	Kind        AuditKind
	User        string // who did it
	Device      string
	Connection  string
	Topic       string // or the pattern, of a refusal
	Type        string // of the event
	Correlation string
	Reason      string
	Member      string // of what was refused
	Transport   string
	Remote      string // the address it came from
	Mutation    string // its idempotency key
	Version     uint64 // of the entity that it made
	Attempt     int    // of a delivery, from 1
	Count       uint64
	Detail      string // for people
}

// AppendJSON appends the row's one JSON spelling: compact, members in the order of the struct, Seq and Time always there
// and others only when they say something. It is what the rows' hashes are made over.
func (r *AuditRow) AppendJSON(dst []byte) []byte {
	return r.AppendRest(AppendAuditEvent(AppendAuditStamp(dst, r.Seq, r.Time), r.Event))
}

// AppendAuditStamp appends the beginning of a row, which the engine knows at the last moment: Seq and Time, the latter to
// the nanosecond.
func AppendAuditStamp(dst []byte, seq uint64, at time.Time) []byte {
	dst = append(dst, `{"seq":`...)
	dst = strconv.AppendUint(dst, seq, 10)
	dst = append(dst, `,"time":"`...)
	dst = at.UTC().AppendFormat(dst, time.RFC3339Nano)
	return append(dst, '"')
}

// AppendAuditEvent appends Event, which the engine may know no sooner, unless it is "".
func AppendAuditEvent(dst []byte, cursor string) []byte {
	if cursor == "" {
		return dst
	}
	return appendMember(append(dst, ','), "event", cursor)
}

// AppendRest appends what follows Event in the row's JSON, up to its end.
func (r *AuditRow) AppendRest(dst []byte) []byte {
	dst = appendMember(append(dst, ','), "kind", string(r.Kind))
	for _, m := range [...]struct{ name, value string }{
		{"user", r.User},
		{"device", r.Device},
		{"connection", r.Connection},
		{"topic", r.Topic},
		{"type", r.Type},
		{"correlation", r.Correlation},
		{"reason", r.Reason},
		{"member", r.Member},
		{"transport", r.Transport},
		{"remote", r.Remote},
		{"mutation", r.Mutation},
	} {
		if m.value != "" {
			dst = appendMember(append(dst, ','), m.name, m.value)
		}
	}
	for _, m := range [...]struct {
		name  string
		value uint64
	}{{"version", r.Version}, {"attempt", uint64(max(r.Attempt, 0))}, {"count", r.Count}} {
		if m.value != 0 {
			dst = append(append(append(dst, `,"`...), m.name...), `":`...)
			dst = strconv.AppendUint(dst, m.value, 10)
		}
	}
	if r.Detail != "" {
		dst = appendMember(append(dst, ','), "detail", r.Detail)
	}
	return append(dst, '}')
}

// AuditMember returns the bytes by which a row tells that name is value. They stand nowhere else in a row: a quotation
// mark inside a string is escaped. name is that of a member that holds a string.
func AuditMember(name, value string) []byte { return appendMember(nil, name, value) }

func appendMember(dst []byte, name, value string) []byte {
	dst = append(append(append(dst, '"'), name...), `":"`...)
	return append(appendEscaped(dst, value), '"')
}

// appendEscaped appends s as it stands in a JSON string: what must be escaped is, and nothing else.
func appendEscaped(dst []byte, s string) []byte {
	const digits = "0123456789abcdef"
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			if r, n := utf8.DecodeRuneInString(s[i:]); r != utf8.RuneError || n > 1 {
				i += n
				continue
			}
			dst = append(append(dst, s[start:i]...), "\uFFFD"...)
		} else if c == '"' || c == '\\' {
			dst = append(append(dst, s[start:i]...), '\\', c)
		} else if c < ' ' {
			dst = append(append(dst, s[start:i]...), '\\', 'u', '0', '0', digits[c>>4], digits[c&15])
		} else {
			i++
			continue
		}
		i++
		start = i
	}
	return append(dst, s[start:]...)
}

// auditJSON is AuditRow as encoding/json reads it.
type auditJSON struct {
	Seq         uint64    `json:"seq"`
	Time        time.Time `json:"time"`
	Event       string    `json:"event"`
	Kind        AuditKind `json:"kind"`
	User        string    `json:"user"`
	Device      string    `json:"device"`
	Connection  string    `json:"connection"`
	Topic       string    `json:"topic"`
	Type        string    `json:"type"`
	Correlation string    `json:"correlation"`
	Reason      string    `json:"reason"`
	Member      string    `json:"member"`
	Transport   string    `json:"transport"`
	Remote      string    `json:"remote"`
	Mutation    string    `json:"mutation"`
	Version     uint64    `json:"version"`
	Attempt     int       `json:"attempt"`
	Count       uint64    `json:"count"`
	Detail      string    `json:"detail"`
}

// ParseAuditRow returns the row whose JSON is text, or an error when text is no row or not spelled as AppendJSON does.
func ParseAuditRow(text []byte) (AuditRow, error) {
	var j auditJSON
	if err := json.Unmarshal(text, &j); err != nil {
		return AuditRow{}, fmt.Errorf("audit row: %w", err)
	}
	r := AuditRow(j)
	if !bytes.Equal(r.AppendJSON(nil), text) {
		return AuditRow{}, fmt.Errorf("audit row %d: not spelled as the hub does", r.Seq)
	}
	return r, nil
}

// AuditHash chains the rows of one tenant: each row's is the SHA-256 of the row before's and the row's JSON.
type AuditHash [sha256.Size]byte

// AuditGenesis is the hash before a tenant's first row.
func AuditGenesis(tenant string) AuditHash { return sha256.Sum256([]byte("roxy audit " + tenant)) }

// Next returns the hash of the row behind h whose JSON is text.
func (h AuditHash) Next(text []byte) AuditHash {
	return sha256.Sum256(append(h[:len(h):len(h)], text...))
}

// String returns h in hexadecimal.
func (h AuditHash) String() string { return hex.EncodeToString(h[:]) }

// ParseAuditHash returns the hash written as s.
func ParseAuditHash(s string) (h AuditHash, err error) {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != len(h) || hex.EncodeToString(b) != s {
		return AuditHash{}, fmt.Errorf("hash %q: want %d digits of 0-9 a-f", clip(s), 2*len(h))
	}
	return AuditHash(b), nil
}

// AuditEntry is a row as it stands in the trail.
type AuditEntry struct {
	Seq  uint64
	JSON []byte // as AuditRow.AppendJSON wrote it
	Hash AuditHash
}

// Row returns what the entry tells.
func (e *AuditEntry) Row() (AuditRow, error) { return ParseAuditRow(e.JSON) }

// hashMember stands between a row and its hash in a line.
const hashMember = `,"hash":"`

// AppendLine appends the entry as it travels: its JSON with the hash as the last member.
func (e *AuditEntry) AppendLine(dst []byte) []byte {
	dst = append(dst, e.JSON[:len(e.JSON)-1]...)
	dst = append(dst, hashMember...)
	dst = hex.AppendEncode(dst, e.Hash[:])
	return append(dst, `"}`...)
}

// ParseAuditLine returns the entry that AppendLine wrote, and its row. Whether the hash is right only the line before can
// tell.
func ParseAuditLine(line []byte) (AuditEntry, AuditRow, error) {
	at := len(line) - len(hashMember) - 2*sha256.Size - len(`"}`)
	if at < 1 || !bytes.HasPrefix(line[at:], []byte(hashMember)) || !bytes.HasSuffix(line, []byte(`"}`)) {
		return AuditEntry{}, AuditRow{}, fmt.Errorf("audit line: no hash at its end")
	}
	hash, err := ParseAuditHash(string(line[at+len(hashMember) : len(line)-2]))
	if err != nil {
		return AuditEntry{}, AuditRow{}, fmt.Errorf("audit line: %w", err)
	}
	text := append(bytes.Clone(line[:at]), '}')
	row, err := ParseAuditRow(text)
	if err != nil {
		return AuditEntry{}, AuditRow{}, err
	}
	return AuditEntry{Seq: row.Seq, JSON: text, Hash: hash}, row, nil
}
