package disk

import (
	"encoding/binary"
	"fmt"

	"github.com/roxyhub/roxy"
)

// The keys, each kind in its own range so that deleting old ones is one range tombstone. Why they are cut this way:
// docs/decisions/0001-log-keys.md.
//
//	g                                          → the number of the newest group
//	m tenant                                   → meta
//	l tenant 0 offset(8)                       → engine record
//	t tenant 0 segment(6) topic 0 low(2)       → nothing; the event at offset segment<<16|low is on topic
//	i bucket(4) tenant 0 len(by) by id         → receipt
//	e tenant 0 topic                           → engine state record
//	p tenant                                   → how far the restoration of the tenant is, while one runs
//	r bucket(4) tenant 0 len(by) by id         → engine result record, of a mutation
//	a tenant 0 seq(8)                          → audit block; seq is that of its first row
//	d tenant 0 device                          → engine device record
//	o tenant 0 offset(8)                       → engine record of a critical event's acknowledgement
//	q tenant 0 offset(8) device                → engine record of a critical event's receipt
//
// A tenant and a topic never hold a zero byte, so no name is the beginning of another one's keys.
const (
	keyMeta    = 'm'
	keyLog     = 'l'
	keyTopic   = 't'
	keyReceipt = 'i'
	keyEntity  = 'e'
	keyResult  = 'r'
	keyRestore = 'p'
	keyAudit   = 'a'
	keyDevice  = 'd'
	keyAck     = 'o'
	keyHandled = 'q'

	segmentBits = 16 // 65,536 events to a segment of the topic index
)

func metaKey(tenant string) []byte { return append([]byte{keyMeta}, tenant...) }

func restoreKey(tenant string) []byte { return append([]byte{keyRestore}, tenant...) }

func appendLogKey(dst []byte, tenant string, offset uint64) []byte {
	dst = append(dst, keyLog)
	dst = append(dst, tenant...)
	dst = append(dst, 0)
	return binary.BigEndian.AppendUint64(dst, offset)
}

func logKey(tenant string, offset uint64) []byte { return appendLogKey(nil, tenant, offset) }

// logOffset returns the offset of a log key.
func logOffset(key []byte) uint64 { return binary.BigEndian.Uint64(key[len(key)-8:]) }

// appendSegmentKey appends what all index keys of one segment begin with.
func appendSegmentKey(dst []byte, tenant string, segment uint64) []byte {
	dst = append(dst, keyTopic)
	dst = append(dst, tenant...)
	dst = append(dst, 0)
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], segment)
	return append(dst, b[2:]...)
}

func appendTopicKey(dst []byte, tenant string, topic roxy.Topic, offset uint64) []byte {
	dst = appendSegmentKey(dst, tenant, offset>>segmentBits)
	dst = append(dst, topic.String()...)
	dst = append(dst, 0)
	return binary.BigEndian.AppendUint16(dst, uint16(offset)) //nolint:gosec // the low bits are meant
}

// indexedLow returns the low 16 bits of the offset that an index key stands for.
func indexedLow(key []byte) uint64 { return uint64(binary.BigEndian.Uint16(key[len(key)-2:])) }

// appendBucketKey appends what all keys of one kind and one span of time begin with.
func appendBucketKey(dst []byte, kind byte, bucket uint32) []byte {
	return binary.BigEndian.AppendUint32(append(dst, kind), bucket)
}

func appendReceiptKey(dst []byte, bucket uint32, scope []byte) []byte {
	return append(appendBucketKey(dst, keyReceipt, bucket), scope...)
}

func resultKey(bucket uint32, scope []byte) []byte {
	return append(appendBucketKey(nil, keyResult, bucket), scope...)
}

// entityPrefix is what the keys of all entities of a tenant begin with.
func entityPrefix(tenant string) []byte {
	return append(append([]byte{keyEntity}, tenant...), 0)
}

func entityKey(tenant string, topic roxy.Topic) []byte {
	return append(entityPrefix(tenant), topic.String()...)
}

func deviceKey(tenant, device string) []byte {
	return append(append(append([]byte{keyDevice}, tenant...), 0), device...)
}

// offsetKey is what the keys of one kind that belong to one event begin with.
func offsetKey(kind byte, tenant string, offset uint64) []byte {
	return binary.BigEndian.AppendUint64(append(append([]byte{kind}, tenant...), 0), offset)
}

func handledKey(tenant string, offset uint64, device string) []byte {
	return append(offsetKey(keyHandled, tenant, offset), device...)
}

// appendScope appends within what an idempotency key is unique: tenant, publisher and the key itself.
func appendScope(dst []byte, tenant, by, id string) []byte {
	dst = append(dst, tenant...)
	dst = append(dst, 0)
	dst = binary.AppendUvarint(dst, uint64(len(by)))
	dst = append(dst, by...)
	return append(dst, id...)
}

// checkTenant refuses names that would break the order of keys. The hub's names are valid long before.
func checkTenant(tenant string) error {
	if tenant == "" || len(tenant) > roxy.MaxTenantBytes {
		return fmt.Errorf("tenant of %d bytes, want 1–%d", len(tenant), roxy.MaxTenantBytes)
	}
	for i := range len(tenant) {
		if tenant[i] == 0 {
			return fmt.Errorf("tenant %q holds a zero byte", tenant)
		}
	}
	return nil
}
