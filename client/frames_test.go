package client

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

// readAll returns every block of a stream as text, and the error that ended it.
func readAll(r io.Reader, limit int) ([]string, error) {
	f := newFrames(r, limit)
	var out []string
	for {
		b, err := f.next()
		if err != nil {
			return out, err
		}
		out = append(out, describe(b))
	}
}

func describe(b frame) string {
	s := fmt.Sprintf("event=%q", b.event)
	if b.hasID {
		s += fmt.Sprintf(" id=%q", b.id)
	}
	if b.data != nil {
		s += fmt.Sprintf(" data=%q", b.data)
	}
	if b.retry > 0 {
		s += " retry=" + b.retry.String()
	}
	return s
}

func TestFramesFollowTheStandard(t *testing.T) {
	for name, tt := range map[string]struct {
		in   string
		want []string
	}{
		"an event with an id":                    {"id: a.1\nevent: x\ndata: 1\n\n", []string{`event="x" id="a.1" data="1"`}},
		"CRLF":                                   {"id: 1\r\ndata: a\r\n\r\n", []string{`event="" id="1" data="a"`}},
		"CR alone":                               {"id: 1\rdata: a\r\r", []string{`event="" id="1" data="a"`}},
		"all three line ends in one block":       {"id: 1\revent: e\r\ndata: a\n\n", []string{`event="e" id="1" data="a"`}},
		"a byte order mark at the start":         {"\uFEFFdata: a\n\n", []string{`event="" data="a"`}},
		"a second byte order mark is a name":     {"\uFEFF\uFEFFdata: a\n\ndata: b\n\n", []string{`event="" data="b"`}},
		"two data lines":                         {"data: a\ndata: b\n\n", []string{`event="" data="a\nb"`}},
		"no space behind the colon":              {"data:a\n\n", []string{`event="" data="a"`}},
		"only one space is taken":                {"data:  a\n\n", []string{`event="" data=" a"`}},
		"a field without colon has no value":     {"data\n\n", []string{`event="" data=""`}},
		"two empty data lines":                   {"data\ndata\n\n", []string{`event="" data="\n"`}},
		"comments are nothing":                   {": hello\n:\n\ndata: a\n\n", []string{`event="" data="a"`}},
		"an unknown field is nothing":            {"datum: a\n\ndata: b\n\n", []string{`event="" data="b"`}},
		"names are case-sensitive":               {"Data: a\n\ndata: b\n\n", []string{`event="" data="b"`}},
		"an id alone":                            {"id: 7\n\n", []string{`event="" id="7"`}},
		"an id does not stick to the next event": {"id: 7\ndata: a\n\ndata: b\n\n", []string{`event="" id="7" data="a"`, `event="" data="b"`}},
		"an empty id":                            {"id\ndata: a\n\n", []string{`event="" id="" data="a"`}},
		"an id with NUL is nothing":              {"id: 1\x002\ndata: a\n\n", []string{`event="" data="a"`}},
		"the last id of a block counts":          {"id: 1\nid: 2\ndata: a\n\n", []string{`event="" id="2" data="a"`}},
		"a type without data does not stick":     {"event: x\n\ndata: a\n\n", []string{`event="" data="a"`}},
		"retry":                                  {"retry: 1500\n\n", []string{`event="" retry=1.5s`}},
		"retry takes digits only":                {"retry: -5\n\nretry: 1e3\n\nretry: +1\n\n", nil},
		"a retry beyond reason":                  {"retry: 99999999999999999999999\n\n", []string{`event="" retry=10m0s`}},
		"an unfinished block is dropped":         {"data: a\n\nid: 2\ndata: b\n", []string{`event="" data="a"`}},
		"blank lines between":                    {"\n\n\r\ndata: a\n\n\n\n", []string{`event="" data="a"`}},
		"a colon in the value":                   {"data: a:b\n\n", []string{`event="" data="a:b"`}},
	} {
		t.Run(name, func(t *testing.T) {
			for how, r := range map[string]io.Reader{
				"whole":          strings.NewReader(tt.in),
				"byte by byte":   iotest.OneByteReader(strings.NewReader(tt.in)),
				"end with data":  iotest.DataErrReader(strings.NewReader(tt.in)),
				"through a pipe": pipe(t, tt.in, 3),
			} {
				got, err := readAll(r, 1<<10)
				if !reflect.DeepEqual(got, tt.want) || !errors.Is(err, io.EOF) {
					t.Errorf("%s: got %q, %v; want %q, EOF", how, got, err, tt.want)
				}
			}
		})
	}
}

// pipe gives s in parts of n bytes.
func pipe(t *testing.T, s string, n int) io.Reader {
	t.Helper()
	r, w := io.Pipe()
	go func() {
		for len(s) > 0 {
			part := s[:min(n, len(s))]
			s = s[len(part):]
			if _, err := io.WriteString(w, part); err != nil {
				return
			}
		}
		_ = w.Close()
	}()
	t.Cleanup(func() { _ = r.Close() })
	return r
}

// An event that ends in CR CR is told before the next byte comes: that may be a heartbeat away.
func TestFramesDoNotWaitBehindACarriageReturn(t *testing.T) {
	r, w := io.Pipe()
	defer func() { _ = w.Close() }()
	go func() { _, _ = io.WriteString(w, "data: a\r\r") }()
	f := newFrames(r, 100)
	if b, err := f.next(); err != nil || string(b.data) != "a" {
		t.Fatalf("got %s, %v", describe(b), err)
	}
	go func() { _, _ = io.WriteString(w, "\ndata: b\n\n") }()
	if b, err := f.next(); err != nil || string(b.data) != "b" {
		t.Fatalf("got %s, %v", describe(b), err)
	}
}

func TestFramesAreBounded(t *testing.T) {
	for name, in := range map[string]string{
		"a line that never ends":       "data: " + strings.Repeat("x", 1000),
		"a comment that never ends":    ":" + strings.Repeat("x", 1000),
		"data lines that never end":    strings.Repeat("data: xxxx\n", 100),
		"empty data lines without end": strings.Repeat("data\n", 1000),
	} {
		t.Run(name, func(t *testing.T) {
			got, err := readAll(iotest.OneByteReader(strings.NewReader(in)), 100)
			if _, ok := errors.AsType[frameTooLargeError](err); !ok || len(got) > 0 {
				t.Fatalf("got %q, %v; want frameTooLargeError", got, err)
			}
		})
	}
}

// FuzzFrames holds the reader to a naive one that has the whole stream at hand, however the bytes are cut.
func FuzzFrames(f *testing.F) {
	f.Add([]byte("id: a.1\nevent: x\ndata: 1\n\n:c\r\rretry: 5\r\n\r\n"), uint8(1))
	f.Add([]byte("\uFEFFdata: a\rdata\r\n\n\n"), uint8(2))
	f.Add([]byte("id: 1\x00\ndata: a:b\n\ndata"), uint8(7))
	f.Add([]byte("\xEF\xBBdata: a\n\n"), uint8(1))
	f.Fuzz(func(t *testing.T, in []byte, n uint8) {
		const limit = 64
		want, tooLarge := naive(string(in), limit)
		got, err := readAll(&chunked{in, max(int(n), 1)}, limit)
		if _, refused := errors.AsType[frameTooLargeError](err); refused != tooLarge || !reflect.DeepEqual(got, want) {
			t.Fatalf("%q in %d: got %q, %v; want %q, too large %v", in, n, got, err, want, tooLarge)
		}
	})
}

type chunked struct {
	rest []byte
	n    int
}

func (c *chunked) Read(p []byte) (int, error) {
	if len(c.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(p[:min(len(p), c.n)], c.rest)
	c.rest = c.rest[n:]
	return n, nil
}

// naive interprets a whole stream: split into lines, then blocks.
func naive(in string, limit int) (out []string, tooLarge bool) {
	in = strings.TrimPrefix(in, "\uFEFF")
	ends := regexp.MustCompile(`\r\n|\r|\n`)
	lines := ends.Split(in, -1)
	var b frame
	var data []string
	for i, line := range lines {
		if len(line) > limit {
			return out, true
		}
		if i == len(lines)-1 {
			return out, false // it has no end
		}
		if line == "" {
			if len(data) > 0 {
				b.data = append([]byte{}, strings.Join(data, "\n")...)
			}
			if b.data != nil || b.hasID || b.retry > 0 {
				out = append(out, describe(b))
			}
			b, data = frame{}, nil
			continue
		}
		m := regexp.MustCompile(`(?s)^([^:]*)(?:: ?(.*))?$`).FindStringSubmatch(line)
		switch name, value := m[1], m[2]; name {
		case "data":
			data = append(data, value)
			if len(strings.Join(data, "\n"))+1 > limit {
				return out, true
			}
		case "event":
			b.event = value
		case "id":
			if !strings.Contains(value, "\x00") {
				b.id, b.hasID = value, true
			}
		case "retry":
			if regexp.MustCompile(`^[0-9]+$`).MatchString(value) {
				b.retry = maxHint
				if short := strings.TrimLeft(value, "0"); len(short) < 7 {
					ms, _ := strconv.ParseInt("0"+short, 10, 64) // nothing but digits
					b.retry = min(time.Duration(ms)*time.Millisecond, maxHint)
				}
			}
		}
	}
	return out, false
}

func BenchmarkFrames(b *testing.B) {
	one := "id: k3x9.1234\nevent: order:new\ndata: {\"topic\":\"orders/42\",\"time\":\"2026-11-23T20:00:00Z\",\"by\":\"u7\",\"data\":{\"table\":7}}\n\n"
	in := bytes.Repeat([]byte(one), 100)
	b.SetBytes(int64(len(in)))
	b.ReportAllocs()
	for b.Loop() {
		f := newFrames(bytes.NewReader(in), 1<<20)
		for {
			if _, err := f.next(); err != nil {
				break
			}
		}
	}
}
