package engine_test

import (
	"bytes"
	"errors"
	"hash/crc32"
	"reflect"
	"testing"
	"time"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/engine"
)

var clock = time.Date(2026, 11, 23, 21, 4, 5, 678901234, time.UTC)

func pattern(t testing.TB, s string) roxy.Pattern {
	t.Helper()
	p, err := roxy.ParsePattern(s)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// storedDevices holds one device of every shape a record has.
func storedDevices(t testing.TB) []engine.StoredDevice {
	t.Helper()
	return []engine.StoredDevice{
		{Device: roxy.Device{Name: "bar-1", User: "u1"}},
		{Device: roxy.Device{
			Name: "bar-1", User: "Zoë", Roles: []string{"kitchen", "waiter"}, Patterns: []roxy.Pattern{pattern(t, "**"), pattern(t, "orders/*")},
			Types: []string{"order:new"}, Cursor: roxy.Cursor{Epoch: "k3x9", Offset: 1 << 40}, Created: clock, Seen: clock.Add(time.Hour),
		}, Skipped: 1 << 33},
	}
}

// criticals holds one acknowledgement of every shape a record has, without receipts.
func criticals(t testing.TB) []engine.Critical {
	t.Helper()
	at := engine.Critical{Offset: 7, Epoch: "k3x9", Time: clock, Topic: topic(t, "calls/1"), Type: "call", Ack: roxy.Ack{By: roxy.AckAny, Within: time.Second, Attempts: 1}, Attempt: 1}
	open, settled := at, at
	open.By, open.Correlation, open.Ack = "u1", "table-4", roxy.Ack{By: roxy.AckUser, Within: time.Hour, Attempts: 20}
	open.Expires, open.Due, open.Users = clock.Add(time.Hour), clock.Add(time.Minute), []string{"u1", "u2"}
	open.Targets = []roxy.DeviceReceipt{{Device: "bar-1", User: "u1"}, {Device: "bar-2", User: "u3"}}
	settled.Ack.By, settled.Settlement, settled.Reason, settled.Settled, settled.Attempt = roxy.AckDevice, roxy.Unacked, roxy.UnackedTTL, clock.Add(time.Hour), 20
	return []engine.Critical{at, open, settled}
}

func receipts() []roxy.DeviceReceipt {
	return []roxy.DeviceReceipt{
		{Device: "bar-1", User: "u1"},
		{Device: "bar-1", User: "u1", Written: clock, Delivered: clock.Add(1), Confirmed: clock.Add(2), Late: true, Attempts: 9, Transport: "sse"},
	}
}

func TestRecordsOfAcknowledgementsGiveBackWhatTheyAreOf(t *testing.T) {
	for _, want := range storedDevices(t) {
		got, err := engine.ReadDevice(want.Name, engine.AppendDevice([]byte("before"), &want)[len("before"):])
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%+v, want %+v: %v", got, want, err)
		}
	}
	for _, want := range criticals(t) {
		got, err := engine.ReadCritical(want.Cursor(), engine.AppendCritical([]byte("before"), &want)[len("before"):])
		if err != nil || !reflect.DeepEqual(*got, want) {
			t.Errorf("%+v, want %+v: %v", got, want, err)
		}
	}
	for _, want := range receipts() {
		got := roxy.DeviceReceipt{Device: want.Device, User: want.User}
		if err := engine.ReadDeviceReceipt(engine.AppendDeviceReceipt([]byte("before"), &want)[len("before"):], &got); err != nil || got != want {
			t.Errorf("%+v, want %+v: %v", got, want, err)
		}
	}
}

// ackRecords returns a record of each kind and shape.
func ackRecords(t testing.TB) (records [][]byte) {
	t.Helper()
	for _, d := range storedDevices(t) {
		records = append(records, engine.AppendDevice(nil, &d))
	}
	for _, c := range criticals(t) {
		records = append(records, engine.AppendCritical(nil, &c))
	}
	for _, r := range receipts() {
		records = append(records, engine.AppendDeviceReceipt(nil, &r))
	}
	return records
}

// readAny reads a record as one of each kind, and returns what the reading of it is written as.
func readAny(t testing.TB, record []byte) (again [][]byte) {
	t.Helper()
	d, err := engine.ReadDevice("bar-1", record)
	if err == nil {
		again = append(again, engine.AppendDevice(nil, &d))
	} else if !errors.Is(err, engine.ErrCorrupt) {
		t.Fatalf("%v is not ErrCorrupt", err)
	}
	c, err := engine.ReadCritical(roxy.Cursor{Epoch: "k3x9", Offset: 7}, record)
	if err == nil {
		again = append(again, engine.AppendCritical(nil, c))
	} else if !errors.Is(err, engine.ErrCorrupt) {
		t.Fatalf("%v is not ErrCorrupt", err)
	}
	r := roxy.DeviceReceipt{Device: "bar-1"}
	if err := engine.ReadDeviceReceipt(record, &r); err == nil {
		again = append(again, engine.AppendDeviceReceipt(nil, &r))
	} else if !errors.Is(err, engine.ErrCorrupt) {
		t.Fatalf("%v is not ErrCorrupt", err)
	}
	return again
}

func TestASpoiltRecordOfAcknowledgementsIsCorrupt(t *testing.T) {
	for _, record := range ackRecords(t) {
		for cut := range record {
			if got := readAny(t, record[:cut]); len(got) != 0 {
				t.Errorf("%x, cut at %d, is taken for %x", record, cut, got)
			}
		}
		for i := range record {
			spoilt := bytes.Clone(record)
			spoilt[i] ^= 0x10
			if got := readAny(t, spoilt); len(got) != 0 {
				t.Errorf("%x, spoilt at %d, is taken for %x", record, i, got)
			}
		}
	}
}

// Records whose checksum is right, of whatever wrote it: a reading is whole, and what is written of it reads the same.
func FuzzReadAckRecords(f *testing.F) {
	for _, record := range ackRecords(f) {
		f.Add(record[:len(record)-4])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		sum := crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli))
		record := append(bytes.Clone(b), byte(sum>>24), byte(sum>>16), byte(sum>>8), byte(sum))
		for _, again := range readAny(t, record) {
			found := false
			for _, third := range readAny(t, again) {
				found = found || bytes.Equal(third, again)
			}
			if !found {
				t.Fatalf("%x became %x, which reads as something else", record, again)
			}
		}
	})
}
