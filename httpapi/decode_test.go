package httpapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/roxyhub/roxy"
)

const maxBatch = 100

func TestDecodeKeepsEveryMember(t *testing.T) {
	events, array, err := decodeEvents([]byte(`{
		"topic": "orders/42", "type": "order:new", "data": {"n": 1e400, "big": 12345678901234567890, "s": "a b\n"},
		"to": {"roles": ["waiter", "kitchen", "waiter"], "users": ["u7"]}, "id": "k1", "ttl": "1h30m", "correlation": "c1",
		"ack": {"by": "user", "within": "1m", "attempts": 3}, "except": "tablet-1", "ephemeral": false, "urgent": true}`), maxBatch)
	if err != nil || array {
		t.Fatalf("array %v, error %v", array, err)
	}
	topic, _ := roxy.ParseTopic("orders/42")
	want := []roxy.Event{{
		Topic: topic, Type: "order:new", Data: []byte(`{"n":1e400,"big":12345678901234567890,"s":"a b\n"}`),
		To: roxy.Audience{Roles: []string{"kitchen", "waiter"}, Users: []string{"u7"}}, ID: "k1", TTL: 90 * time.Minute,
		Correlation: "c1", Except: "tablet-1", Urgent: true, Ack: &roxy.Ack{By: roxy.AckUser, Within: time.Minute, Attempts: 3},
	}}
	if !reflect.DeepEqual(events, want) {
		t.Errorf("got  %+v\nwant %+v", events, want)
	}
}

func TestDecodeFillsInWhatIsLeftOut(t *testing.T) {
	events, array, err := decodeEvents([]byte(` [{"topic":"a"},{"topic":"b","data":null}] `), maxBatch)
	if err != nil || !array || len(events) != 2 {
		t.Fatalf("%d events, array %v, error %v", len(events), array, err)
	}
	if e := events[0]; e.Type != roxy.DefaultType || e.Data != nil || !e.To.Everyone() || e.ID != "" || e.TTL != 0 {
		t.Errorf("defaults: %+v", e)
	}
	if got := string(events[1].Data); got != "null" {
		t.Errorf("data null is kept as %q", got)
	}
}

// The members at fault, and a word that the detail must hold.
func TestDecodeNamesTheMemberAtFault(t *testing.T) {
	nested := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	for name, tt := range map[string]struct {
		body   string
		code   roxy.Code
		member string
		detail string
	}{
		"nothing":                       {``, roxy.InvalidEvent, "", "empty"},
		"only white space":              {" \n", roxy.InvalidEvent, "", "empty"},
		"a string":                      {`"hello"`, roxy.InvalidEvent, "", "a string"},
		"not JSON":                      {`{topic:1}`, roxy.InvalidEvent, "", "byte 2"},
		"cut off":                       {`{"topic":"a"`, roxy.InvalidEvent, "", "ends inside"},
		"cut off in data":               {`{"topic":"a","data":{"x":[1,`, roxy.InvalidEvent, "data.x", "ends inside"},
		"something after it":            {`{"topic":"a"} x`, roxy.InvalidEvent, "", "follows"},
		"two events without array":      {`{"topic":"a"}{"topic":"b"}`, roxy.InvalidEvent, "", "follows"},
		"something after the array":     {`[{"topic":"a"}],`, roxy.InvalidEvent, "", "follows"},
		"an empty array":                {`[]`, roxy.InvalidEvent, "", "no event"},
		"an unknown member":             {`{"topic":"a","priority":1}`, roxy.InvalidEvent, "priority", "unknown"},
		"an unknown member in an array": {`[{"topic":"a"},{"topic":"a","Type":"x"}]`, roxy.InvalidEvent, "[1].Type", "unknown"},
		"a member given twice":          {`{"topic":"a","topic":"b"}`, roxy.InvalidEvent, "topic", "twice"},
		"twice by an escape":            {`{"topic":"a","\u0074opic":"b"}`, roxy.InvalidEvent, "topic", "twice"},
		"a name given twice in data":    {`{"topic":"a","data":{"x":{"y":1,"y":2}}}`, roxy.InvalidEvent, "data.x.y", "twice"},
		"a number for a topic":          {`{"topic":7}`, roxy.InvalidEvent, "topic", "a number"},
		"null for a topic":              {`{"topic":null}`, roxy.InvalidEvent, "topic", "null"},
		"null for an audience":          {`{"topic":"a","to":null}`, roxy.InvalidEvent, "to", "null"},
		"a bad topic":                   {`{"topic":"a//b"}`, roxy.InvalidTopic, "topic", "segment 2"},
		"a bad topic in an array":       {`[{"topic":"a"},{"topic":"a b"}]`, roxy.InvalidTopic, "[1].topic", "segment 1"},
		"a wildcard":                    {`{"topic":"a/*"}`, roxy.InvalidTopic, "topic", "segment 2"},
		"an empty type":                 {`{"topic":"a","type":""}`, roxy.InvalidEvent, "type", "empty"},
		"a line feed in the type":       {`{"topic":"a","type":"x\ny"}`, roxy.InvalidEvent, "type", "U+000A"},
		"an empty id":                   {`{"topic":"a","id":""}`, roxy.InvalidEvent, "id", "empty"},
		"a long id":                     {`{"topic":"a","id":"` + strings.Repeat("x", 129) + `"}`, roxy.InvalidEvent, "id", "129 bytes"},
		"a role that is a number":       {`[{"topic":"a"},{"topic":"a"},{"topic":"a"},{"topic":"a","to":{"roles":["x",1]}}]`, roxy.InvalidEvent, "[3].to.roles[1]", "a number"},
		"an empty user":                 {`{"topic":"a","to":{"users":["x",""]}}`, roxy.InvalidEvent, "to.users[1]", "empty"},
		"roles as a string":             {`{"topic":"a","to":{"roles":"waiter"}}`, roxy.InvalidEvent, "to.roles", "an array"},
		"a misspelt audience":           {`{"topic":"a","to":{"role":["x"]}}`, roxy.InvalidEvent, "to.role", "unknown"},
		"an audience too large":         {`{"topic":"a","to":{"roles":["x"` + strings.Repeat(`,"x"`, 200) + `],"users":["x"` + strings.Repeat(`,"x"`, 100) + `]}}`, roxy.InvalidEvent, "to", "302"},
		"a list too long":               {`{"topic":"a","to":{"roles":["x"` + strings.Repeat(`,"x"`, 300) + `]}}`, roxy.InvalidEvent, "to.roles[256]", "256"},
		"a ttl in seconds":              {`{"topic":"a","ttl":30}`, roxy.InvalidEvent, "ttl", "a number"},
		"a ttl of nothing":              {`{"topic":"a","ttl":"0s"}`, roxy.InvalidEvent, "ttl", "above 0"},
		"a ttl below nothing":           {`{"topic":"a","ttl":"-1s"}`, roxy.InvalidEvent, "ttl", "above 0"},
		"a ttl without unit":            {`{"topic":"a","ttl":"30"}`, roxy.InvalidEvent, "ttl", "above 0"},
		"ephemeral as a string":         {`{"topic":"a","ephemeral":"true"}`, roxy.InvalidEvent, "ephemeral", "true or false"},
		"who must confirm, as a string": {`{"topic":"a","ack":"any"}`, roxy.InvalidEvent, "ack", "an object"},
		"nobody who must confirm":       {`[{"topic":"a","ack":{"within":"30s"}}]`, roxy.InvalidEvent, "[0].ack.by", "required"},
		"an unknown member of ack":      {`{"topic":"a","ack":{"by":"any","attempt":1}}`, roxy.InvalidEvent, "ack.attempt", "unknown"},
		"a time to confirm in seconds":  {`{"topic":"a","ack":{"by":"any","within":30}}`, roxy.InvalidEvent, "ack.within", "a number"},
		"half an attempt":               {`{"topic":"a","ack":{"by":"any","attempts":1.5}}`, roxy.InvalidEvent, "ack.attempts", "whole"},
		"data too deep":                 {`{"topic":"a","data":` + nested(65) + `}`, roxy.InvalidEvent, "data", "65 deep"},
		"a lone surrogate":              {`{"topic":"a","data":"\ud800"}`, roxy.InvalidEvent, "data", "surrogate"},
		"a surrogate's half turned":     {`{"topic":"a","data":["\udc00\ud800"]}`, roxy.InvalidEvent, "data[0]", "surrogate"},
		"invalid UTF-8":                 {"{\"topic\":\"a\",\"data\":\"\xff\"}", roxy.InvalidEvent, "data", "UTF-8"},
		"invalid UTF-8 in a name":       {"{\"topic\":\"a\",\"data\":{\"\xff\":1}}", roxy.InvalidEvent, "data", "UTF-8"},
		"a bare control character":      {"{\"topic\":\"a\",\"data\":\"\n\"}", roxy.InvalidEvent, "data", "byte"},
		"a number with a leading zero":  {`{"topic":"a","data":01}`, roxy.InvalidEvent, "", "byte"},
		"a byte order mark":             {"\ufeff{\"topic\":\"a\"}", roxy.InvalidEvent, "", "byte"},
		"too many":                      {`[{"topic":"a"}` + strings.Repeat(`,{"topic":"a"}`, maxBatch) + `]`, roxy.TooLarge, "", "more than 100"},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := decodeEvents([]byte(tt.body), maxBatch)
			p, ok := errors.AsType[*roxy.Problem](err)
			if !ok {
				t.Fatalf("error %v is no problem", err)
			}
			if p.Code != tt.code || p.Member != tt.member || !strings.Contains(p.Detail, tt.detail) {
				t.Errorf("got %s at %q: %s\nwant %s at %q: …%s…", p.Code, p.Member, p.Detail, tt.code, tt.member, tt.detail)
			}
		})
	}
}

func TestDecodeTakesDataOfTheGreatestDepth(t *testing.T) {
	data := strings.Repeat("[", maxDepth) + strings.Repeat("]", maxDepth)
	events, _, err := decodeEvents([]byte(`[{"topic":"a","data":`+data+`}]`), maxBatch)
	if err != nil || string(events[0].Data) != data {
		t.Fatalf("error %v", err)
	}
}

func TestDecodeRefusesBottomlessDataBriefly(t *testing.T) {
	_, _, err := decodeEvents([]byte(`{"topic":"a","data":`+strings.Repeat(`{"a":`, 1_000_000)), maxBatch)
	p, ok := errors.AsType[*roxy.Problem](err)
	if !ok || p.Code != roxy.InvalidEvent || !strings.HasPrefix(p.Member, "data.a.a") || len(p.Member) > 210 || len(p.Detail) > 300 {
		t.Fatalf("got %v", err)
	}
}

func TestDecodedEventsDoNotShareTheBody(t *testing.T) {
	body := []byte(`{"topic":"a","type":"x","data":{"k":"v"},"to":{"users":["u1"]}}`)
	events, _, err := decodeEvents(body, maxBatch)
	if err != nil {
		t.Fatal(err)
	}
	before := fmt.Sprintf("%+v", events)
	for i := range body {
		body[i] = '!'
	}
	if after := fmt.Sprintf("%+v", events); after != before {
		t.Errorf("the event changed with the body: %s", after)
	}
}

func FuzzDecodeEvents(f *testing.F) {
	for _, seed := range []string{
		string(benchmarkEvent(1)), `{"topic":"a","ack":{"by":"user","within":"1m","attempts":9007199254740991}}`, `[{"topic":"a"},{"topic":"b","data":[1,{"x":"\ud83d\ude00 \\\" "}],"ttl":"1s"}]`,
		`{"topic":"a","data":{"a":1,"a":2}}`, `{"topic":"a","data":"\ud800"}`, "{\"topic\":\"a\",\"data\":\"\xff\"}", `[`, `{"to":{"roles":[`,
		`{"topic":"a","data":1e400} `, `{"topic":"a","data":[` + strings.Repeat("[", 70), `{"topic":"a","data":"[{\"[\\"}`, `{"a":{"1":{"1":1,"1":2}}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		events, _, err := decodeEvents(body, maxBatch)
		checkDecoded(t, body, events, err)
	})
}

// checkDecoded holds a decoder to what is true of every body.
func checkDecoded(t *testing.T, body []byte, events []roxy.Event, err error) {
	t.Helper()
	if err != nil {
		p, ok := errors.AsType[*roxy.Problem](err)
		if !ok || p.Code == roxy.Internal || p.Detail == "" {
			t.Fatalf("%q: error %v is no problem that a caller can read", body, err)
		}
		return
	}
	if len(events) == 0 || len(events) > maxBatch {
		t.Fatalf("%q: %d events", body, len(events))
	}
	for _, e := range events {
		if e.Data == nil {
			continue
		}
		if bytes.ContainsAny(e.Data, "\r\n") {
			t.Fatalf("data %q holds a line break", e.Data)
		}
		again := jsontext.Value(bytes.Clone(e.Data))
		if !again.IsValid() || again.Compact() != nil || !bytes.Equal(again, e.Data) {
			t.Fatalf("data %q is not valid compact JSON; compact is %q", e.Data, again)
		}
	}
}

// benchmarkEvent is an order of about 400 bytes.
func benchmarkEvent(i int) []byte {
	b := fmt.Appendf(nil, `{"topic":"orders/%d","type":"order:new","id":"tablet-7-%d","correlation":"table-12","to":{"roles":["kitchen","waiter"]},"data":`, i, i)
	b = append(b, `{"table":12,"waiter":"u7","items":[{"product":"spritz","amount":2,"price":"9.80","note":"no ice, please"},`...)
	b = append(b, `{"product":"focaccia","amount":1,"price":"6.50","note":""},{"product":"water","amount":3,"price":"3.20","note":"still"}],"total":"35.70"}`...)
	return append(b, '}')
}

func BenchmarkDecodeOneEvent(b *testing.B) {
	body := benchmarkEvent(1)
	b.ReportAllocs()
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		if _, _, err := decodeEvents(body, maxBatch); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecodeArrayOf100(b *testing.B) {
	var raw []json.RawMessage
	for i := range 100 {
		raw = append(raw, benchmarkEvent(i))
	}
	body, err := json.Marshal(raw)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		if _, _, err := decodeEvents(body, maxBatch); err != nil {
			b.Fatal(err)
		}
	}
}
