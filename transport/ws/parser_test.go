package ws

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/gobwas/ws"
	"github.com/klauspost/compress/flate"

	"github.com/roxyhub/roxy/internal/deflate"
)

// frame writes one frame by hand, as a client that minds no rule may: its first byte, whether it is masked, the payload.
func frame(first byte, masked bool, payload string) []byte {
	b := []byte{first, 0}
	switch n := len(payload); {
	case n < 126:
		b[1] = byte(n)
	case n < 1<<16:
		b[1] = 126
		b = binary.BigEndian.AppendUint16(b, uint16(n))
	default:
		b[1] = 127
		b = binary.BigEndian.AppendUint64(b, uint64(n))
	}
	if !masked {
		return append(b, payload...)
	}
	b[1] |= maskBit
	mask := [4]byte{0xa1, 0x02, 0x93, 0x44}
	body := []byte(payload)
	ws.Cipher(body, mask, 0)
	return append(append(b, mask[:]...), body...)
}

func deflated(t testing.TB, s string) string {
	t.Helper()
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, 6)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = w.Write([]byte(s))
	_ = w.Flush()
	return strings.TrimSuffix(b.String(), deflate.SyncMark)
}

const limit = 1000

// parse feeds b in pieces and returns what came of it.
func parse(b []byte, piece int, deflate bool) (got []string, err error) {
	p := parser{limit: limit, deflate: deflate}
	for part := range slices.Chunk(bytes.Clone(b), piece) {
		err = p.feed(part, func(m message) error {
			got = append(got, fmt.Sprintf("%x %s", m.op, m.payload))
			return nil
		})
		if err != nil {
			return got, err
		}
		if len(p.text) > limit {
			return got, fmt.Errorf("the parser holds %d bytes", len(p.text))
		}
	}
	return got, nil
}

func TestParserTakesWhatClientsSend(t *testing.T) {
	long := strings.Repeat("x", 999)
	for name, tt := range map[string]struct {
		sent []byte
		want []string
	}{
		"a message":        {frame(0x81, true, "hello"), []string{"1 hello"}},
		"an empty message": {frame(0x81, true, ""), []string{"1 "}},
		"of 126 bytes":     {frame(0x81, true, long[:126]), []string{"1 " + long[:126]}},
		"up to the limit":  {frame(0x81, true, long+"x"), []string{"1 " + long + "x"}},
		"two":              {slices.Concat(frame(0x81, true, "a"), frame(0x81, true, "b")), []string{"1 a", "1 b"}},
		"three fragments, a ping between": {
			slices.Concat(frame(0x01, true, "he"), frame(0x89, true, "p"), frame(0x00, true, ""), frame(0x80, true, "llo")),
			[]string{"9 p", "1 hello"},
		},
		"a letter cut in two": {slices.Concat(frame(0x01, true, "\xc3"), frame(0x80, true, "\xa9")), []string{"1 é"}},
		"compressed":          {frame(0xc1, true, deflated(t, long)), []string{"1 " + long}},
		"compressed fragments": {
			slices.Concat(frame(0x41, true, deflated(t, long)[:4]), frame(0x80, true, deflated(t, long)[4:]), frame(0x81, true, "plain")),
			[]string{"1 " + long, "1 plain"},
		},
		"close":              {frame(0x88, true, ""), []string{"8 "}},
		"close with a code":  {frame(0x88, true, "\x03\xe8bye"), []string{"8 \x03\xe8bye"}},
		"an unasked pong":    {frame(0x8a, true, "x"), []string{"a x"}},
		"the longest ping":   {frame(0x89, true, long[:125]), []string{"9 " + long[:125]}},
		"a message begun":    {frame(0x81, true, "hello")[:8], nil},
		"half a header only": {frame(0x81, true, "hello")[:1], nil},
	} {
		t.Run(name, func(t *testing.T) {
			for _, piece := range []int{1, 2, 3, 7, 1 << 20} {
				if got, err := parse(tt.sent, piece, true); err != nil || !slices.Equal(got, tt.want) {
					t.Errorf("in pieces of %d: got %.80q, %v", piece, got, err)
				}
			}
		})
	}
}

func TestParserRefusesWhatBreaksTheProtocol(t *testing.T) {
	for name, tt := range map[string]struct {
		sent  []byte
		plain bool // without permessage-deflate
		code  ws.StatusCode
	}{
		"not masked":                    {frame(0x81, false, "hello"), false, 1002},
		"reserved bit 1 not agreed on":  {frame(0xc1, true, "hello"), true, 1002},
		"reserved bit 2":                {frame(0xa1, true, "hello"), false, 1002},
		"reserved bit 3":                {frame(0x91, true, "hello"), false, 1002},
		"a compressed ping":             {frame(0xc9, true, "p"), false, 1002},
		"a compressed continuation":     {slices.Concat(frame(0x01, true, "a"), frame(0xc0, true, "b")), false, 1002},
		"opcode 3":                      {frame(0x83, true, ""), false, 1002},
		"opcode 11":                     {frame(0x8b, true, ""), false, 1002},
		"binary":                        {frame(0x82, true, "x"), false, 1003},
		"a fragmented ping":             {frame(0x09, true, "p"), false, 1002},
		"a ping of 126 bytes":           {frame(0x89, true, strings.Repeat("p", 126)), false, 1002},
		"a continuation of nothing":     {frame(0x80, true, "x"), false, 1002},
		"a message inside another":      {slices.Concat(frame(0x01, true, "a"), frame(0x81, true, "b")), false, 1002},
		"a short length in 16 bits":     {[]byte{0x81, 0xfe, 0, 5, 1, 2, 3, 4}, false, 1002},
		"a short length in 64 bits":     {[]byte{0x81, 0xff, 0, 0, 0, 0, 0, 0, 1, 0, 1, 2, 3, 4}, false, 1002},
		"a negative length":             {[]byte{0x81, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4}, false, 1002},
		"2^62 bytes announced":          {[]byte{0x81, 0xff, 0x40, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4}, false, 1009},
		"above the limit":               {frame(0x81, true, strings.Repeat("x", limit+1))[:14], false, 1009},
		"above it by fragments":         {slices.Concat(frame(0x01, true, strings.Repeat("x", limit)), frame(0x80, true, "x")), false, 1009},
		"a bomb":                        {frame(0xc1, true, deflated(t, strings.Repeat("x", 1<<18))), false, 1009},
		"no DEFLATE data":               {frame(0xc1, true, "\xff\xff\xff"), false, 1007},
		"not UTF-8":                     {frame(0x81, true, "\xff"), false, 1007},
		"half a letter":                 {frame(0x81, true, "\xc3"), false, 1007},
		"compressed, not UTF-8":         {frame(0xc1, true, deflated(t, "\xff")), false, 1007},
		"half a close code":             {frame(0x88, true, "\x03"), false, 1002},
		"close code 1005":               {frame(0x88, true, "\x03\xed"), false, 1002},
		"close code 999":                {frame(0x88, true, "\x03\xe7"), false, 1002},
		"close code 2000":               {frame(0x88, true, "\x07\xd0"), false, 1002},
		"close with a reason not UTF-8": {frame(0x88, true, "\x03\xe8\xff"), false, 1007},
		"more fragments than allowed":   {slices.Concat(frame(0x01, true, ""), bytes.Repeat(frame(0x00, true, ""), maxFragments)), false, 1008},
	} {
		t.Run(name, func(t *testing.T) {
			for _, piece := range []int{1, 5, 1 << 20} {
				_, err := parse(tt.sent, piece, !tt.plain)
				bad, ok := errors.AsType[*closeError](err)
				if !ok || bad.code != tt.code || bad.reason == "" || len(bad.reason) > maxControl-2 {
					t.Errorf("in pieces of %d: got %v, want %d", piece, err, tt.code)
				}
			}
		})
	}
}

// However a client cuts its bytes, the same messages come out, and no more is held than the limits allow.
func FuzzParser(f *testing.F) {
	f.Add(slices.Concat(frame(0x01, true, "he"), frame(0x89, true, "p"), frame(0x80, true, "llo"), frame(0x88, true, "\x03\xe8")), byte(3))
	f.Add(frame(0xc1, true, deflated(f, strings.Repeat("beer ", 300))), byte(7))
	f.Add(frame(0x81, true, strings.Repeat("x", 400)), byte(1))
	f.Add(frame(0x81, false, "x"), byte(2))
	f.Fuzz(func(t *testing.T, b []byte, piece byte) {
		whole, errWhole := parse(b, 1<<20, true)
		cut, errCut := parse(b, int(piece)+1, true)
		if !slices.Equal(whole, cut) || fmt.Sprint(errWhole) != fmt.Sprint(errCut) {
			t.Fatalf("whole: %.100q, %v\ncut: %.100q, %v", whole, errWhole, cut, errCut)
		}
		if _, ok := errors.AsType[*closeError](errWhole); errWhole != nil && !ok {
			t.Fatalf("%v has no close code", errWhole)
		}
		for _, m := range whole {
			if len(m) > limit+2 {
				t.Fatalf("a message of %d bytes", len(m)-2)
			}
		}
	})
}

// What a parked socket answers by itself is what its parser would have let it answer; all else wakes it.
func FuzzReceived(f *testing.F) {
	for _, seed := range [][]byte{
		frame(0x89, true, "ping"), frame(0x8a, true, ""), append(frame(0x89, true, "a"), frame(0x89, true, "b")...),
		frame(0x88, true, "\x03\xe8"), frame(0x81, true, "{}"), frame(0x89, false, "x"), frame(0x89, true, strings.Repeat("x", 126)),
		{0x89},
		{0xc9, 0x80, 1, 2, 3, 4},
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, sent []byte) {
		reply, wake := new(socket).Received(bytes.Clone(sent))
		if wake {
			if reply != nil {
				t.Errorf("a socket that is woken answers %x", reply)
			}
			return
		}
		var want []byte
		p := parser{limit: limit}
		if err := p.feed(bytes.Clone(sent), func(m message) error {
			switch m.op {
			case ws.OpPing:
				want = appendFrame(want, ws.OpPong, m.payload)
			case ws.OpPong:
			default:
				t.Errorf("not for a parked socket: %+v", m)
			}
			return nil
		}); err != nil || p.busy() {
			t.Errorf("not whole frames: %v", err)
		}
		if !bytes.Equal(reply, want) {
			t.Errorf("answered %x, want %x", reply, want)
		}
	})
}
