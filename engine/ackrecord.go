package engine

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"slices"
	"time"

	"github.com/roxyhub/roxy"
)

// Records of devices and acknowledgements, as an engine stores them under their names. Numbers are uvarints, times Unix
// nanoseconds (0: none), a string is its length and its bytes, a list its length and its items; each ends with the
// CRC-32C of all before, 4 bytes.
//
//	device    format 1 · user · roles · patterns · types · epoch · offset · skipped · created · seen
//	critical  format 1 · time · topic · type · by · correlation · ack · expires ·
//	          attempt · due · settlement 1 · reason · settled · users · targets, each device and user
//	receipt   format 1 · written · delivered · confirmed · late 1 · attempts · transport
const ackFormat = 1

// StoredDevice is a device with what only the engine needs.
type StoredDevice struct {
	roxy.Device
	// Skipped is an offset: what lies at or before it and behind the cursor was never given to the device.
	Skipped uint64
}

// AppendDevice appends d as a record, without its name.
func AppendDevice(dst []byte, d *StoredDevice) []byte {
	start := len(dst)
	dst = appendString(append(dst, ackFormat), d.User)
	dst = appendStrings(dst, d.Roles)
	patterns := make([]string, len(d.Patterns))
	for i, p := range d.Patterns {
		patterns[i] = p.String()
	}
	dst = appendStrings(appendStrings(dst, patterns), d.Types)
	dst = binary.AppendUvarint(appendString(dst, d.Cursor.Epoch), d.Cursor.Offset)
	dst = binary.AppendUvarint(dst, d.Skipped)
	return appendSum(appendTime(appendTime(dst, d.Created), d.Seen), start)
}

// ReadDevice returns the device of a record, or ErrCorrupt. It shares nothing with record.
func ReadDevice(name string, record []byte) (StoredDevice, error) {
	r, err := openRecord(record)
	if err != nil {
		return StoredDevice{}, fmt.Errorf("%w: device %s: %w", ErrCorrupt, name, err)
	}
	d := StoredDevice{Device: roxy.Device{Name: name, User: string(r.bytes()), Roles: r.strings()}}
	for _, text := range r.strings() {
		p, err := roxy.ParsePattern(text)
		if err != nil {
			return StoredDevice{}, fmt.Errorf("%w: device %s: %w", ErrCorrupt, name, err)
		}
		d.Patterns = append(d.Patterns, p)
	}
	d.Types = r.strings()
	d.Cursor = roxy.Cursor{Epoch: string(r.bytes()), Offset: r.uvarint()}
	d.Skipped, d.Created, d.Seen = r.uvarint(), r.time(), r.time()
	if err := r.end(); err != nil {
		return StoredDevice{}, fmt.Errorf("%w: device %s: %w", ErrCorrupt, name, err)
	}
	return d, nil
}

// settlements and reasons are spelled by their place.
func settlements() [3]roxy.Settlement {
	return [...]roxy.Settlement{"", roxy.Acknowledged, roxy.Unacked}
}

// AppendCritical appends c as a record, without its cursor and its receipts.
func AppendCritical(dst []byte, c *Critical) []byte {
	start := len(dst)
	dst = appendTime(append(dst, ackFormat), c.Time)
	for _, s := range [...]string{c.Topic.String(), c.Type, c.By, c.Correlation} {
		dst = appendString(dst, s)
	}
	dst = appendTime(appendAck(dst, &c.Ack), c.Expires)
	dst = appendTime(binary.AppendUvarint(dst, uint64(c.Attempt)), c.Due) //nolint:gosec // small and positive
	known := settlements()
	dst = append(dst, byte(slices.Index(known[:], c.Settlement))) //nolint:gosec // one of three
	dst = appendTime(appendString(dst, string(c.Reason)), c.Settled)
	dst = binary.AppendUvarint(appendStrings(dst, c.Users), uint64(len(c.Targets)))
	for i := range c.Targets {
		dst = appendString(appendString(dst, c.Targets[i].Device), c.Targets[i].User)
	}
	return appendSum(dst, start)
}

// ReadCritical returns the acknowledgement of a record, its targets without receipts, or ErrCorrupt. Its cursor is of the
// epoch that its log has by now.
func ReadCritical(at roxy.Cursor, record []byte) (*Critical, error) {
	c, err := readCritical(record)
	if err != nil {
		return nil, fmt.Errorf("%w: acknowledgement of event %d: %w", ErrCorrupt, at.Offset, err)
	}
	c.Epoch, c.Offset = at.Epoch, at.Offset
	return c, nil
}

func readCritical(record []byte) (*Critical, error) {
	r, err := openRecord(record)
	if err != nil {
		return nil, err
	}
	c := &Critical{Time: r.time()}
	topic := string(r.bytes())
	c.Type, c.By, c.Correlation = string(r.bytes()), string(r.bytes()), string(r.bytes())
	ack := r.ack()
	c.Expires = r.time()
	c.Attempt, c.Due = int(r.uvarint()), r.time() //nolint:gosec // as AppendCritical wrote it
	settlement := r.take(1)
	c.Reason, c.Settled, c.Users = roxy.UnackedReason(r.bytes()), r.time(), r.strings()
	for range r.length() {
		if r.err != nil {
			break
		}
		c.Targets = append(c.Targets, roxy.DeviceReceipt{Device: string(r.bytes()), User: string(r.bytes())})
	}
	if err := r.end(); err != nil {
		return nil, err
	}
	known := settlements()
	if int(settlement[0]) >= len(known) {
		return nil, fmt.Errorf("settlement %d", settlement[0])
	}
	c.Settlement, c.Ack = known[settlement[0]], *ack
	c.Topic, err = roxy.ParseTopic(topic)
	return c, err
}

// AppendDeviceReceipt appends r as a record, without its device and user.
func AppendDeviceReceipt(dst []byte, r *roxy.DeviceReceipt) []byte {
	start := len(dst)
	dst = appendTime(appendTime(appendTime(append(dst, ackFormat), r.Written), r.Delivered), r.Confirmed)
	late := byte(0)
	if r.Late {
		late = 1
	}
	dst = binary.AppendUvarint(append(dst, late), uint64(r.Attempts)) //nolint:gosec // never negative
	return appendSum(appendString(dst, r.Transport), start)
}

// ReadDeviceReceipt fills in what a record says of r, or returns ErrCorrupt.
func ReadDeviceReceipt(record []byte, r *roxy.DeviceReceipt) error {
	f, err := openRecord(record)
	if err == nil {
		r.Written, r.Delivered, r.Confirmed = f.time(), f.time(), f.time()
		late := f.take(1)
		r.Attempts, r.Transport = int(f.uvarint()), string(f.bytes()) //nolint:gosec // as AppendDeviceReceipt wrote it
		if err = f.end(); err == nil {
			r.Late = late[0] != 0
		}
	}
	if err != nil {
		return fmt.Errorf("%w: receipt of device %s: %w", ErrCorrupt, r.Device, err)
	}
	return nil
}

func appendStrings(dst []byte, list []string) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(list)))
	for _, s := range list {
		dst = appendString(dst, s)
	}
	return dst
}

func appendTime(dst []byte, t time.Time) []byte {
	if t.IsZero() {
		return binary.AppendUvarint(dst, 0)
	}
	return binary.AppendUvarint(dst, uint64(t.UnixNano()))
}

// appendSum appends the checksum of the record that begins at start.
func appendSum(dst []byte, start int) []byte {
	return binary.BigEndian.AppendUint32(dst, crc32.Checksum(dst[start:], castagnoli()))
}

// openRecord returns the fields of a record that ends with its checksum.
func openRecord(record []byte) (*fields, error) {
	if len(record) < 1+recordCRC {
		return nil, fmt.Errorf("%d bytes", len(record))
	}
	end := len(record) - recordCRC
	if got, want := crc32.Checksum(record[:end], castagnoli()), binary.BigEndian.Uint32(record[end:]); got != want {
		return nil, fmt.Errorf("checksum %08x instead of %08x", got, want)
	}
	if record[0] != ackFormat {
		return nil, fmt.Errorf("format %d, this hub reads %d", record[0], ackFormat)
	}
	return &fields{rest: record[1:end]}, nil
}

func (f *fields) strings() (list []string) {
	for range f.length() {
		if f.err != nil {
			break
		}
		list = append(list, string(f.bytes()))
	}
	return list
}

func (f *fields) time() time.Time {
	n := f.uvarint()
	if n == 0 {
		return time.Time{}
	}
	return time.Unix(0, int64(n)).UTC() //nolint:gosec // as appendTime wrote it
}

// end returns the first error, also when something follows.
func (f *fields) end() error {
	if f.err == nil && len(f.rest) != 0 {
		f.err = fmt.Errorf("%d bytes too many", len(f.rest))
	}
	return f.err
}
