package ws

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsflate"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/hub"
)

func cursor(offset uint64) roxy.Cursor { return roxy.Cursor{Epoch: "k3x9", Offset: offset} }

// readFrame reads one frame of the hub's.
func readFrame(r io.Reader) (ws.Frame, error) {
	h, err := ws.ReadHeader(r)
	if err != nil {
		return ws.Frame{}, err
	}
	if h.Length > 1<<20 {
		return ws.Frame{}, fmt.Errorf("a frame of %d bytes", h.Length)
	}
	payload := make([]byte, h.Length)
	_, err = io.ReadFull(r, payload)
	return ws.Frame{Header: h, Payload: payload}, err
}

// frames reads the frames of b as a client does.
func frames(t *testing.T, b []byte) []ws.Frame {
	t.Helper()
	var all []ws.Frame
	for r := bytes.NewReader(b); r.Len() > 0; {
		f, err := readFrame(r)
		if err != nil {
			t.Fatalf("after %d frames: %v", len(all), err)
		}
		if f.Header.Masked || !f.Header.Fin {
			t.Errorf("frame %d is masked or a fragment", len(all))
		}
		if compressed, _ := wsflate.IsCompressed(f.Header); compressed {
			if f, err = wsflate.DecompressFrame(f); err != nil {
				t.Fatal(err)
			}
		}
		all = append(all, f)
	}
	return all
}

// The wire text is a contract: testdata/stream.txt holds it, one frame a line.
func TestEncodingSpellsTheGoldenStream(t *testing.T) {
	at := time.Date(2026, 11, 23, 18, 0, 0, 0, time.UTC)
	var e Encoding
	var b []byte
	b = e.AppendControl(b, hub.Control{Type: "roxy:hello", Cursor: cursor(1233), Retry: 1500 * time.Millisecond, Data: hub.Hello{
		Connection: "c0ffee", Cursor: "k3x9.1233", View: "v0", Epoch: "k3x9", Heartbeat: "15s", Time: at, Retry: 1500,
	}})
	b = e.AppendControl(b, hub.Control{Type: "roxy:reset", Cursor: cursor(1233), Data: hub.Reset{Reason: "retention", Cursor: "k3x9.1233"}})
	b = e.AppendControl(b, hub.Control{Type: "roxy:live", Cursor: cursor(1233), Data: hub.Live{Cursor: "k3x9.1233"}})
	b = e.AppendEvent(b, cursor(1234), "order:new", []byte(`{"topic":"orders/42","data":{"table":7}}`))
	b = e.AppendEvent(b, cursor(1235), roxy.DefaultType, []byte(`{"topic":"orders/42","data":null}`))
	b = e.AppendEvent(b, roxy.Cursor{}, `ty"ping`, []byte(`{"topic":"orders/42","data":true}`))
	b = e.AppendControl(b, hub.Control{Type: "roxy:heartbeat", Cursor: cursor(1240), Data: hub.Heartbeat{Time: at, Cursor: "k3x9.1240"}})
	b = e.AppendControl(b, hub.Control{Type: "roxy:bye", Retry: 2 * time.Second, Data: hub.Bye{Reason: hub.Drain, Retry: 2000}})
	var got strings.Builder
	for _, f := range frames(t, b) {
		switch f.Header.OpCode {
		case ws.OpClose:
			code, reason := ws.ParseCloseFrameData(f.Payload)
			fmt.Fprintf(&got, "close %d %s\n", code, reason)
		default:
			fmt.Fprintf(&got, "%s\n", f.Payload)
		}
	}
	if os.Getenv("ROXY_UPDATE_GOLDEN") != "" {
		if err := os.WriteFile("testdata/stream.txt", []byte(got.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("testdata/stream.txt")
	if err != nil {
		t.Fatal(err)
	}
	if got.String() != string(want) {
		t.Errorf("the stream's text changed:\n%s", got.String())
	}
}

// Every length has the header that RFC 6455 §5.2 wants, whatever stands before the frame.
func TestFramesOfEveryLengthAreWhole(t *testing.T) {
	for _, n := range []int{2, 60, 125, 126, 127, 200, 4 << 10, 1<<16 - 60, 1<<16 - 1, 1 << 16, 1 << 17} {
		envelope := []byte(`"` + strings.Repeat("ab ", n/3) + `"`)
		for _, e := range []hub.Encoding{Encoding{}, Deflate{}} {
			b := e.AppendEvent(nil, cursor(1), "before", []byte("{}"))
			b = e.AppendEvent(b, cursor(2), "order:new", envelope)
			b = e.AppendEvent(b, cursor(3), "after", []byte("{}"))
			got := frames(t, b)
			want := `[{"id":"k3x9.2","event":"order:new","data":` + string(envelope) + `}]`
			if len(got) != 3 || string(got[1].Payload) != want {
				t.Errorf("%s, %d bytes: %d frames, the second %.80q", e.Name(), n, len(got), got[1].Payload)
			}
		}
	}
}

func TestDeflateCompressesWhatIsWorthIt(t *testing.T) {
	long := []byte(`{"topic":"orders/42","data":{"lines":[` + strings.Repeat(`{"item":"beer","price":450},`, 20) + `{}]}}`)
	plain := len(Encoding{}.AppendEvent(nil, cursor(1), "order:new", long))
	if got := len(Deflate{}.AppendEvent(nil, cursor(1), "order:new", long)); got > plain/3 {
		t.Errorf("%d bytes of %d", got, plain)
	}
	short := []byte(`{"topic":"orders/42","data":{"table":7}}`)
	if got := (Deflate{}).AppendEvent(nil, cursor(1), "order:new", short); got[0]&rsv1Bit != 0 {
		t.Error("a short event is compressed")
	}
}

func TestEveryGoodbyeHasItsCloseCode(t *testing.T) {
	seen := make(map[ws.StatusCode]bool)
	for _, reason := range []hub.Reason{hub.Drain, hub.TokenExpired, hub.Revoked, hub.Slow, hub.Replaced, hub.Overload} {
		for _, e := range []hub.Encoding{Encoding{}, Deflate{}, quiet{}} {
			b := e.AppendControl(nil, hub.Control{Type: "roxy:bye", Data: hub.Bye{Reason: reason, Retry: 123456}})
			if !saysBye(b) {
				t.Errorf("%s: %s does not say goodbye: %q", e.Name(), reason, b)
			}
			got := frames(t, b)
			code, text := ws.ParseCloseFrameData(got[len(got)-1].Payload)
			if len(got) != 2 || text != string(reason) || code == ws.StatusInternalServerError {
				t.Errorf("%s: %s closes with %d %q", e.Name(), reason, code, text)
			}
			seen[code] = true
		}
	}
	if len(seen) != 6 {
		t.Errorf("reasons share codes: %v", seen)
	}
	if saysBye(Encoding{}.AppendControl(nil, hub.Control{Type: "roxy:live", Data: hub.Live{}})) {
		t.Error("roxy:live says goodbye")
	}
}

// A socket without a subscription hears nothing but its end, and pings.
func TestQuietSaysNothing(t *testing.T) {
	b := quiet{}.AppendEvent(nil, cursor(1), "order:new", []byte("{}"))
	for _, data := range []any{hub.Hello{}, hub.Live{}, hub.Reset{}} {
		b = quiet{}.AppendControl(b, hub.Control{Type: "roxy:any", Data: data})
	}
	if len(b) > 0 {
		t.Errorf("got %q", b)
	}
	if b = (quiet{}).AppendControl(nil, hub.Control{Type: "roxy:heartbeat", Data: hub.Heartbeat{}}); string(b) != "\x89\x00" {
		t.Errorf("a heartbeat is %q", b)
	}
}

func BenchmarkAppendEvent(b *testing.B) {
	envelope := []byte(`{"topic":"orders/42","time":"2026-11-23T18:00:00.123Z","by":"u7","correlation":"c1","data":{"table":7,"waiter":"u7","lines":[{"item":"beer","n":2,"price":450},{"item":"soup","n":1,"price":690},{"item":"bread","n":1,"price":250}],"note":"no onions please, and the bread first"}}`)
	for _, e := range []hub.Encoding{Encoding{}, Deflate{}} {
		b.Run(e.Name(), func(b *testing.B) {
			var dst []byte
			b.ReportAllocs()
			for b.Loop() {
				dst = e.AppendEvent(dst[:0], cursor(123456), "order:new", envelope)
			}
			b.ReportMetric(float64(len(dst)), "wire-B")
		})
	}
}
