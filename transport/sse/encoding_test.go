package sse

import (
	"os"
	"testing"
	"time"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/hub"
)

// The wire bytes are a contract: testdata/stream.txt holds them.
func TestEncodingSpellsTheGoldenStream(t *testing.T) {
	at := time.Date(2026, 11, 23, 18, 0, 0, 0, time.UTC)
	cursor := func(offset uint64) roxy.Cursor { return roxy.Cursor{Epoch: "k3x9", Offset: offset} }
	var e Encoding
	var got []byte
	got = e.AppendControl(got, hub.Control{Type: "roxy:hello", Cursor: cursor(1233), Retry: 1500 * time.Millisecond, Data: hub.Hello{
		Connection: "c0ffee", Cursor: "k3x9.1233", View: "v0", Epoch: "k3x9", Heartbeat: "15s", Time: at, Retry: 1500,
	}})
	got = e.AppendControl(got, hub.Control{Type: "roxy:reset", Cursor: cursor(1233), Data: hub.Reset{Reason: "retention", Cursor: "k3x9.1233"}})
	got = e.AppendControl(got, hub.Control{Type: "roxy:live", Cursor: cursor(1233), Data: hub.Live{Cursor: "k3x9.1233"}})
	got = e.AppendEvent(got, cursor(1234), "order:new", []byte(`{"topic":"orders/42","data":{"table":7}}`))
	got = e.AppendEvent(got, cursor(1235), roxy.DefaultType, []byte(`{"topic":"orders/42","data":null}`))
	got = e.AppendEvent(got, roxy.Cursor{}, "typing", []byte(`{"topic":"orders/42","data":true}`))
	got = e.AppendControl(got, hub.Control{Type: "roxy:heartbeat", Cursor: cursor(1240), Data: hub.Heartbeat{Time: at, Cursor: "k3x9.1240"}})
	got = e.AppendControl(got, hub.Control{Type: "roxy:bye", Retry: 2 * time.Second, Data: hub.Bye{Reason: hub.Drain, Retry: 2000}})
	want, err := os.ReadFile("testdata/stream.txt")
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Errorf("the stream's bytes changed:\n%s", got)
	}
}

func BenchmarkAppendEvent(b *testing.B) {
	envelope := make([]byte, 300)
	var dst []byte
	b.ReportAllocs()
	for b.Loop() {
		dst = Encoding{}.AppendEvent(dst[:0], roxy.Cursor{Epoch: "k3x9", Offset: 123456}, "order:new", envelope)
	}
}
