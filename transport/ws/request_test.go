package ws

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/roxyhub/roxy"
)

func TestParseRequestNamesWhatIsWrong(t *testing.T) {
	for name, tt := range map[string]struct {
		text, ref, member, detail string // detail "" when all is well
	}{
		"ping":               {`{"op":"ping","ref":"1"}`, "1", "", ""},
		"subscribe":          {`{"ref":"1","topic":["orders/*"],"type":["x"],"after":"e.1","heartbeat":"5s","op":"subscribe"}`, "1", "", ""},
		"publish":            {`{"op":"publish","ref":"1","events":{"topic":"a","data":{"op":1}}}`, "1", "", ""},
		"refresh":            {`{"op":"refresh","ref":"1","token":"t"}`, "1", "", ""},
		"mutate":             {`{"op":"mutate","ref":"1","mutations":[{"op":"put","topic":"a","data":{"ref":1}}]}`, "1", "", ""},
		"mutate with events": {`{"op":"mutate","ref":"1","events":[]}`, "1", "events", `unknown member "events"; mutate has op, ref, mutations`},
		"empty":              {``, "", "", "byte 0"},
		"not JSON":           {`hello`, "", "", "byte 0"},
		"an array":           {`[{"op":"ping","ref":"1"}]`, "", "", "one object"},
		"null":               {`null`, "", "", "one object"},
		"cut off":            {`{"op":"ping"`, "", "", "byte 12"},
		"something behind":   {`{"op":"ping","ref":"1"}{}`, "", "", "byte 23"},
		"no ref":             {`{"op":"ping"}`, "", "ref", "ref is required"},
		"a number for a ref": {`{"op":"ping","ref":1}`, "", "ref", "want a string"},
		"an empty ref":       {`{"op":"ping","ref":""}`, "", "ref", "ref: "},
		"a long ref":         {`{"op":"ping","ref":"` + strings.Repeat("x", 200) + `"}`, "", "ref", "ref: "},
		"no op":              {`{"ref":"1"}`, "1", "op", "op is required"},
		"an unknown op":      {`{"op":"nack","ref":"1"}`, "1", "op", `"nack" is none of`},
		"ack":                {`{"op":"ack","ref":"1","device":"d","delivered":"e.1","ids":["e.1"]}`, "1", "", ""},
		"ack of a user":      {`{"op":"ack","ref":"1","device":"d","user":"u"}`, "1", "user", `unknown member "user"; ack has op, ref, device, delivered, ids`},
		"an unknown member":  {`{"op":"ping","ref":"1","topic":[]}`, "1", "topic", `unknown member "topic"; ping has op, ref and no more`},
		"a member twice":     {`{"op":"ping","ref":"1","ref":"2"}`, "", "ref", "given twice"},
		"snapshot":           {`{"op":"subscribe","ref":"1","topic":["a"],"snapshot":true}`, "1", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			req, err := parseRequest([]byte(tt.text))
			if req.ref != tt.ref {
				t.Errorf("ref %q, want %q", req.ref, tt.ref)
			}
			p, ok := errors.AsType[*roxy.Problem](err)
			switch {
			case tt.detail == "":
				if err != nil {
					t.Error(err)
				}
			case !ok || p.Member != tt.member || !strings.Contains(p.Detail, tt.detail):
				t.Errorf("got %v at %q", err, p.Member)
			}
		})
	}
}

func TestSubscribeTakesListsAndStrings(t *testing.T) {
	for text, member := range map[string]string{
		`{"op":"subscribe","ref":"1","topic":["a","b"],"after":"earliest"}`: "",
		`{"op":"subscribe","ref":"1","topic":"a"}`:                          "topic",
		`{"op":"subscribe","ref":"1","snapshot":1}`:                         "snapshot",
		`{"op":"subscribe","ref":"1","snapshot":"1"}`:                       "snapshot",
		`{"op":"subscribe","ref":"1","snapshot":null}`:                      "snapshot",
		`{"op":"subscribe","ref":"1","device":7}`:                           "device",
		`{"op":"subscribe","ref":"1","topic":null}`:                         "topic",
		`{"op":"subscribe","ref":"1","topic":["a",null]}`:                   "topic",
		`{"op":"subscribe","ref":"1","topic":["a",["b"]]}`:                  "topic",
		`{"op":"subscribe","ref":"1","type":{"a":"b"}}`:                     "type",
		`{"op":"subscribe","ref":"1","after":["e.1"]}`:                      "after",
		`{"op":"subscribe","ref":"1","heartbeat":15}`:                       "heartbeat",
		`{"op":"subscribe","ref":"1","after":null}`:                         "after",
	} {
		req, err := parseRequest([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		query, err := req.query()
		p, _ := errors.AsType[*roxy.Problem](err)
		switch {
		case member == "" && (err != nil || len(query["topic"]) != 2 || query.Get("after") != "earliest"):
			t.Errorf("%s: %v, %v", text, query, err)
		case member != "" && (p == nil || p.Member != member):
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestSubscribeTakesASnapshotByTrueAndNoneByFalse(t *testing.T) {
	for value, want := range map[string]string{"true": "1", "false": ""} {
		req, err := parseRequest([]byte(`{"op":"subscribe","ref":"1","topic":["a"],"device":"d","snapshot":` + value + `}`))
		if err != nil {
			t.Fatal(err)
		}
		if query, err := req.query(); err != nil || query.Get("snapshot") != want || query.Has("snapshot") != (want != "") || query.Get("device") != "d" {
			t.Errorf("%s: %v, %v", value, query, err)
		}
	}
}

func FuzzParseRequest(f *testing.F) {
	f.Add(`{"op":"subscribe","ref":"1","topic":["orders/*"],"after":"earliest"}`)
	f.Add(`{"op":"publish","ref":"é","events":[{"topic":"a","data":1e400}]}`)
	f.Add(`{"op":"ping","ref":"1","op":"ping"}`)
	f.Add(`{"op":"mutate","ref":"1","mutations":{"op":"delete","topic":"a"}}`)
	f.Add(`{"op":"subscribe","ref":"1","topic":["a"],"snapshot":true,"device":"d"}`)
	f.Add(`{"op":"ack","ref":"1","device":"d","ids":["e.1"]}`)
	f.Add(`{"ref":"\ud800"}`)
	f.Fuzz(func(t *testing.T, text string) {
		req, err := parseRequest([]byte(text))
		if err == nil {
			_, err = req.query()
		} else if _, known := membersOf(req.op); known && req.ref == "" {
			t.Fatalf("op %q without a ref", req.op)
		}
		if err != nil {
			p, ok := errors.AsType[*roxy.Problem](err)
			if !ok || p.Detail == "" || len(p.Detail) > 1000 || !utf8.ValidString(p.Detail) {
				t.Fatalf("%v is no problem to tell", err)
			}
		}
		if req.ref != "" && roxy.CheckName(req.ref) != nil {
			t.Fatalf("ref %q", req.ref)
		}
	})
}
