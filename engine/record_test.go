package engine_test

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/engine"
)

func topic(t testing.TB, s string) roxy.Topic {
	t.Helper()
	parsed, err := roxy.ParseTopic(s)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

// events holds one event of every shape a record has.
func events(t testing.TB) map[string]roxy.Event {
	t.Helper()
	return map[string]roxy.Event{
		"bare":       {Topic: topic(t, "a"), Type: "message"},
		"with data":  {Topic: topic(t, "orders/42"), Type: "order:new", Data: []byte(`{"n":1}`), By: "u7"},
		"with a key": {Topic: topic(t, "orders/42"), Type: "order:new", Data: []byte(`1`), ID: "k1", Correlation: "c1"},
		"for the sender's others": {
			Topic: topic(t, "orders/42"), Type: "x", Except: "tablet-3",
			TraceParent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
		},
		"for some roles": {Topic: topic(t, "a/b"), Type: "x", To: roxy.Audience{Roles: []string{"kitchen", "waiter"}}},
		"for some users": {Topic: topic(t, "a/b"), Type: "x", To: roxy.Audience{Users: []string{"u1", "u2", "Zoë"}}},
		"urgent, for a while": {
			Topic: topic(t, "a/b"), Type: "x", TTL: 90 * time.Second, Urgent: true, Ack: &roxy.Ack{By: roxy.AckUser, Within: time.Minute, Attempts: 3},
			To: roxy.Audience{Roles: []string{"kitchen"}, Users: []string{"u1"}},
		},
		"large": {Topic: topic(t, strings.Repeat("a", 256)), Type: "x", Data: []byte(`"` + strings.Repeat("x", 1<<16) + `"`)},
	}
}

func stamped(e *roxy.Event, s engine.Stamp) []byte {
	record := engine.AppendRecord(nil, e)
	engine.StampRecord(record, s)
	return record
}

func TestARecordGivesItsEventBack(t *testing.T) {
	d := engine.NewDecoder()
	stamp := engine.Stamp{Offset: 1 << 40, Time: time.Date(2026, 11, 23, 21, 4, 5, 678901234, time.UTC), Total: 1 << 50}
	for name, want := range events(t) {
		t.Run(name, func(t *testing.T) {
			record := engine.AppendRecord([]byte("before"), &want)[len("before"):]
			engine.StampRecord(record, stamp)
			if got, err := engine.ReadStamp(record); err != nil || got != stamp {
				t.Errorf("stamp %+v, %v", got, err)
			}
			if got := engine.RecordData(record, len(want.Data)); string(got) != string(want.Data) {
				t.Errorf("data %q", got)
			}
			want.Offset, want.Time = stamp.Offset, stamp.Time
			for range 2 { // the second time from what the decoder remembers
				var got roxy.Event
				if err := d.Decode(record, &got); err != nil {
					t.Fatal(err)
				}
				if !reflect.DeepEqual(got, want) {
					t.Errorf("%+v, want %+v", got, want)
				}
			}
		})
	}
}

func TestADecodedEventSharesNothingWithItsRecord(t *testing.T) {
	want := events(t)["with a key"]
	record := stamped(&want, engine.Stamp{Offset: 1, Time: time.Unix(0, 1).UTC()})
	var got roxy.Event
	if err := engine.NewDecoder().Decode(record, &got); err != nil {
		t.Fatal(err)
	}
	clear(record)
	if string(got.Data) != string(want.Data) || got.ID != want.ID || got.Topic != want.Topic {
		t.Errorf("%+v", got)
	}
}

func TestEveryFlippedBitOfARecordIsNoticed(t *testing.T) {
	ev := events(t)["urgent, for a while"]
	record := stamped(&ev, engine.Stamp{Offset: 7, Time: time.Unix(0, 1).UTC(), Total: 9})
	d := engine.NewDecoder()
	for i := range record {
		for bit := range 8 {
			record[i] ^= 1 << bit
			var got roxy.Event
			if err := d.Decode(record, &got); !errors.Is(err, engine.ErrCorrupt) {
				t.Errorf("byte %d bit %d: %v, want ErrCorrupt", i, bit, err)
			}
			record[i] ^= 1 << bit
		}
		var got roxy.Event
		if err := d.Decode(record[:i], &got); !errors.Is(err, engine.ErrCorrupt) {
			t.Errorf("cut at %d: %v, want ErrCorrupt", i, err)
		}
	}
}

func TestADecoderForgetsBeforeItGrowsWithoutBound(t *testing.T) {
	d := engine.NewDecoder()
	for i := range 20_000 {
		want := roxy.Event{Topic: topic(t, fmt.Sprintf("orders/%d", i)), Type: "x", By: fmt.Sprint("u", i), To: roxy.Audience{Users: []string{fmt.Sprint("v", i)}}}
		var got roxy.Event
		if err := d.Decode(stamped(&want, engine.Stamp{Offset: 1, Time: time.Unix(0, 0).UTC()}), &got); err != nil {
			t.Fatal(err)
		}
		if got.Topic != want.Topic || got.By != want.By || got.To.Users[0] != want.To.Users[0] {
			t.Fatalf("%+v, want %+v", got, want)
		}
	}
}

// FuzzDecode feeds records whose checksum is right and whose fields are anything: what decodes, decodes to the same
// event again after it was encoded.
func FuzzDecode(f *testing.F) {
	for _, ev := range events(f) {
		f.Add(engine.AppendRecord(nil, &ev))
	}
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, record []byte) {
		d := engine.NewDecoder()
		var first, second roxy.Event
		if err := d.Decode(record, &first); err == nil && len(record) < 30 {
			t.Fatalf("decoded %d bytes", len(record))
		}
		if len(record) < 30 {
			return
		}
		engine.StampRecord(record, engine.Stamp{Offset: 1, Time: time.Unix(0, 5).UTC(), Total: 3})
		if err := d.Decode(record, &first); err != nil {
			if !errors.Is(err, engine.ErrCorrupt) {
				t.Fatalf("%v is not ErrCorrupt", err)
			}
			return
		}
		again := stamped(&first, engine.Stamp{Offset: 1, Time: time.Unix(0, 5).UTC(), Total: 3})
		if err := d.Decode(again, &second); err != nil {
			t.Fatalf("%+v does not survive: %v", first, err)
		}
		if !reflect.DeepEqual(first, second) {
			t.Fatalf("%+v became %+v", first, second)
		}
	})
}

func BenchmarkAppendRecord(b *testing.B) {
	ev := events(b)["with a key"]
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		buf = engine.AppendRecord(buf[:0], &ev)
		engine.StampRecord(buf, engine.Stamp{Offset: 1, Time: time.Unix(0, 5)})
	}
}

func BenchmarkDecode(b *testing.B) {
	for _, name := range []string{"with data", "with a key", "for some roles"} {
		ev := events(b)[name]
		record := stamped(&ev, engine.Stamp{Offset: 1, Time: time.Unix(0, 5)})
		b.Run(name, func(b *testing.B) {
			d := engine.NewDecoder()
			var got roxy.Event
			b.ReportAllocs()
			for b.Loop() {
				if err := d.Decode(record, &got); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
