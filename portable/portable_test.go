package portable

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
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

// evening is an export with everything that there can be in one.
func evening(t testing.TB) (Header, []roxy.Event, []engine.State) {
	t.Helper()
	at := time.Date(2026, 11, 24, 21, 0, 0, 123456789, time.UTC)
	part, err := roxy.ParseFieldPath("customer.phone")
	if err != nil {
		t.Fatal(err)
	}
	h := Header{Tenant: "bar", Of: engine.Bounds{Epoch: "e1", First: 5, Head: 8}, Time: at.Add(time.Hour)}
	events := []roxy.Event{
		{Offset: 5, Time: at, Topic: topic(t, "calls/1"), Type: "call", By: "u1", Data: []byte("null")},
		{
			Offset: 6, Time: at, Topic: topic(t, "calls/2"), Type: "call", By: "ü\"2", ID: "k<1>", TTL: 90*time.Minute + 1, Correlation: "c", Except: "t-1", TraceParent: "00-a", Urgent: true,
			To: roxy.Audience{Roles: []string{"kitchen"}, Users: []string{"u1", "u2"}}, Data: []byte(`{"n":1e400,"m":12345678901234567890,"s":"\u0041\/<&>","n1":1.0,"z":[null,1]}`),
		},
		{Offset: 7, Time: at.Add(1), Topic: topic(t, "orders/1"), Type: roxy.EntityUpdated, By: "u1", Change: &roxy.Change{Op: roxy.Patch, Version: 2, Mutation: "m-1", Patch: []byte(`{"a":2}`), Undo: []byte(`{"a":null}`)}},
		{Offset: 8, Time: at.Add(2), Topic: topic(t, "orders/2"), Type: roxy.EntityDeleted, By: "u1", Change: &roxy.Change{Op: roxy.Delete, Version: 9}},
	}
	states := []engine.State{
		{Entity: roxy.Entity{Topic: topic(t, "orders/1"), Version: 2, Offset: 7, Time: at.Add(1), Data: []byte(`{"a":2,"customer":{"phone":"1"}}`)}, Forgotten: 1, Marks: []engine.Mark{
			{Field: "a", Version: 2, By: "u1", Device: "t-1", Seq: 7}, {Field: "customer", Version: 1, By: "u1"}, {Field: "customer", Part: part, Version: 1, By: "u2"},
		}},
		{Entity: roxy.Entity{Topic: topic(t, "orders/2"), Version: 9, Offset: 8, Time: at.Add(2)}, Forgotten: 9, Marks: []engine.Mark{}},
	}
	return h, events, states
}

func export(t testing.TB) []byte {
	t.Helper()
	h, events, states := evening(t)
	var out bytes.Buffer
	w, err := NewWriter(&out, h)
	for i := range events {
		err = errors.Join(err, w.Event(&events[i]))
	}
	for i := range states {
		err = errors.Join(err, w.State(&states[i]))
	}
	_, endErr := w.End()
	if err := errors.Join(err, endErr); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// readAll reads an export to its end.
func readAll(text []byte) (h Header, events []roxy.Event, states []engine.State, err error) {
	r, err := NewReader(bytes.NewReader(text))
	if err != nil {
		return h, nil, nil, err
	}
	for {
		l, _, _, err := r.Next()
		switch {
		case errors.Is(err, io.EOF):
			return r.Header, events, states, nil
		case err != nil:
			return r.Header, events, states, err
		case l.Event != nil:
			events = append(events, *l.Event)
		case l.State != nil:
			states = append(states, *l.State)
		}
	}
}

func TestAnExportReadsAsItWasWritten(t *testing.T) {
	text := export(t)
	wantHeader, wantEvents, wantStates := evening(t)
	h, events, states, err := readAll(text)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	if h != wantHeader || !reflect.DeepEqual(events, wantEvents) || !reflect.DeepEqual(states, wantStates) {
		t.Errorf("%+v\n%+v\n%+v\nof\n%s", h, events, states, text)
	}
	b, err := ParseBatch(text, 2)
	if err != nil {
		t.Fatal(err)
	}
	if b.Header != wantHeader || !reflect.DeepEqual(b.Events, wantEvents) || !reflect.DeepEqual(b.States, wantStates) || !b.End || b.Entities != 2 || b.To != 8 {
		t.Errorf("as a batch: %+v", b)
	}
}

func TestTheSpellingOfAnExportStays(t *testing.T) {
	const golden = "testdata/export.ndjson"
	text := export(t)
	if os.Getenv("ROXY_UPDATE_GOLDEN") != "" {
		if err := os.MkdirAll("testdata", 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(golden, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil || !bytes.Equal(text, want) {
		t.Errorf("%v: an export is written as\n%s\nnot as\n%s", err, text, want)
	}
}

func TestAnExportThatWasCutOrChangedIsRefusedWithItsLine(t *testing.T) {
	text := export(t)
	lines := bytes.SplitAfter(text, []byte("\n"))
	lines = lines[:len(lines)-1]
	without := func(i int) []byte {
		return bytes.Join(append(append([][]byte{}, lines[:i]...), lines[i+1:]...), nil)
	}
	swap := func(was, now string) []byte { return bytes.Replace(text, []byte(was), []byte(now), 1) }
	for name, tt := range map[string]struct {
		text []byte
		line int
		want string
	}{
		"nothing":                 {nil, 1, "empty"},
		"not an export":           {[]byte("{\"roxy\":\"dump\",\"format\":1}\n"), 1, "no export"},
		"another format":          {swap(`"format":1`, `"format":2`), 1, "format 2"},
		"an unknown member":       {swap(`"head":8`, `"head":8,"x":1`), 1, "/x: unknown member"},
		"an unknown kind of line": {swap(`{"entity":`, `{"thing":`), 6, "unknown member"},
		"an unknown member below": {swap(`"urgent":true`, `"urgent":true,"ack":1`), 3, "ack: unknown member"},
		"a member twice":          {swap(`"urgent":true`, `"urgent":true,"urgent":true`), 3, "given twice"},
		"no JSON":                 {swap(`{"event"`, `event`), 2, "not JSON"},
		"a wrong kind":            {swap(`"offset":6`, `"offset":"6"`), 3, "/event/offset"},
		"a bad topic":             {swap(`calls/2`, `calls//2`), 3, "segment 2"},
		"a bad name":              {swap(`"by":"u1"`, `"by":"u\u0007"`), 2, "control character"},
		"a bad device":            {swap(`"except":"t-1"`, `"except":"t 1"`), 3, "event.except"},
		"a bad op":                {swap(`"op":"patch"`, `"op":"append"`), 4, "append"},
		"data not canonical":      {swap(`"data":{"a":2,`, `"data":{"b":2,"a":2,`), 6, "canonical"},
		"unsorted marks":          {swap(`"field":"a"`, `"field":"z"`), 6, "sorted"},
		"two in a line":           {swap(`{"event":{"offset":5`, `{"end":{"events":0,"entities":0,"sha256":""},"event":{"offset":5`), 2, "one of"},
		"the first event missing": {without(1), 2, "begins with 5"},
		"an event missing":        {without(2), 3, "behind event 5"},
		"the last event missing":  {without(4), 5, "3 events came"},
		"an entity missing":       {without(5), 7, "2 entities, and 4 and 1 came"},
		"the end missing":         {without(7), 7, "it was cut"},
		"the last line cut":       {text[:len(text)-1], 8, "was cut"},
		"cut within a line":       {text[:400], 3, "was cut"},
		"a changed word":          {swap(`"type":"call"`, `"type":"cell"`), 8, "SHA-256"},
		"a changed sum":           {swap(`"sha256":"`, `"sha256":"0`), 8, "64 digits"},
		"something behind":        {append(bytes.Clone(text), lines[1]...), 9, "follows the end"},
		"a line without end":      {append(bytes.Clone(lines[0]), bytes.Repeat([]byte("x"), MaxLine+1)...), 2, "more than"},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, _, err := readAll(tt.text)
			p, ok := errors.AsType[*roxy.Problem](err)
			if !ok || p.Code != roxy.InvalidImport || p.Member != fmt.Sprintf("line %d", tt.line) || !strings.Contains(p.Detail, tt.want) {
				t.Errorf("%v, want line %d: … %s", err, tt.line, tt.want)
			}
		})
	}
}

func TestABatchIsReadFromAnyLineOn(t *testing.T) {
	lines := bytes.SplitAfter(export(t), []byte("\n"))
	body := bytes.Join([][]byte{lines[0], lines[4], lines[5]}, nil)
	b, err := ParseBatch(body, 5)
	if err != nil || b.From != 5 || b.To != 6 || len(b.Events) != 1 || len(b.States) != 1 || b.End {
		t.Fatalf("%+v: %v", b, err)
	}
	_, err = ParseBatch(bytes.Join([][]byte{lines[0], lines[2], lines[4]}, nil), 3)
	if p, ok := errors.AsType[*roxy.Problem](err); !ok || p.Member != "line 4" {
		t.Errorf("%v, want line 4", err)
	}
}

// FuzzExport reads whatever is given as a line, a batch and an export. What is taken for an event or an entity is written
// and read again: it is the same.
func FuzzExport(f *testing.F) {
	text := export(f)
	f.Add(text)
	for line := range bytes.Lines(text) {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		_, _ = ParseBatch(text, 2)
		_, _, _, _ = readAll(text)
		l, err := ParseLine(text)
		if err != nil {
			return
		}
		var out bytes.Buffer
		w, err := NewWriter(&out, Header{Tenant: "bar", Of: engine.Bounds{Epoch: "e", First: 1}})
		if err != nil {
			t.Fatal(err)
		}
		out.Reset()
		switch {
		case l.Event != nil:
			err = w.Event(l.Event)
		case l.State != nil:
			err = w.State(l.State)
		default:
			return
		}
		if err != nil {
			t.Fatalf("%q is read and cannot be written: %v", text, err)
		}
		again, err := ParseLine(out.Bytes())
		if err != nil || !reflect.DeepEqual(again, l) {
			t.Errorf("%q is written as %q: %v", text, out.Bytes(), err)
		}
	})
}
