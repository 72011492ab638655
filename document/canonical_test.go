package document_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/roxyhub/roxy/document"
)

func TestCanonicalFormIsOneSpelling(t *testing.T) {
	for name, tt := range map[string]struct{ in, patch, doc string }{
		"white space":               {" { \"a\" : [ 1 , { } ] } \n", `{"a":[1,{}]}`, `{"a":[1,{}]}`},
		"order of names":            {`{"b":1,"a":{"d":1,"c":2}}`, `{"a":{"c":2,"d":1},"b":1}`, `{"a":{"c":2,"d":1},"b":1}`},
		"order of quoted names":     {`{"a":1,"a!":2}`, `{"a!":2,"a":1}`, `{"a!":2,"a":1}`},
		"escapes":                   {`{"\u0061\/":"\u00e9\u2028\ud83d\ude00\u000A\u001f"}`, "{\"a/\":\"é\u2028😀\\n\\u001f\"}", "{\"a/\":\"é\u2028😀\\n\\u001f\"}"},
		"numbers stay":              {`{"n":[1e400,1E4,12345678901234567890,1,1.0,-0,0.10]}`, `{"n":[1e400,1E4,12345678901234567890,1,1.0,-0,0.10]}`, `{"n":[1e400,1E4,12345678901234567890,1,1.0,-0,0.10]}`},
		"null is absence":           {`{"b":{"x":null},"a":null}`, `{"a":null,"b":{"x":null}}`, `{"b":{}}`},
		"null in arrays is a value": {`{"a":[null,{"x":null}]}`, `{"a":[null,{"x":null}]}`, `{"a":[null,{"x":null}]}`},
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := document.Patch([]byte(tt.in)); string(got) != tt.patch || err != nil {
				t.Errorf("patch %s, %v", got, err)
			}
			if got, err := document.Document([]byte(tt.in)); string(got) != tt.doc || err != nil {
				t.Errorf("document %s, %v", got, err)
			}
		})
	}
	for _, value := range []string{`null`, `"a"`, `[]`, `7`, `true`, `{}`} {
		if got, err := document.Patch([]byte(" " + value)); string(got) != value || err != nil {
			t.Errorf("patch %s: %s, %v", value, got, err)
		}
	}
}

func TestErrorsNameThePlaceAndTheReason(t *testing.T) {
	for in, want := range map[string]string{
		``:                                       "byte 0: not JSON",
		`{"a":secret}`:                           "byte 5: not JSON",
		`{} {}`:                                  "byte 3: not JSON",
		`{"a":"` + "\xff" + `"}`:                 "byte 6: not JSON",
		`{"a":"\ud800"}`:                         "byte 6: not JSON",
		` [1]`:                                   "byte 1: not an object",
		`{"a":1,"b":2,"\u0061":3}`:               `byte 13: repeated name "a"`,
		`{"x":{"a":null,"a":1}}`:                 `byte 15: repeated name "a"`,
		strings.Repeat(`{"[":`, 65):              "byte 325: not JSON",
		`{"a":"[[","b":` + nested(64) + `}`:      "byte 77: nests deeper than 64",
		`{"a":"\"[[","b":` + nested(5000) + `}`:  "byte 79: nests deeper than 64",
		`{"a":` + strings.Repeat("[", 20000):     "",
		`{"` + strings.Repeat("n", 100) + `":}`:  "byte 104: not JSON",
		`{"a":1,"a":2,"b":` + nested(64) + `,x}`: "byte 146: not JSON",
	} {
		_, err := document.Document([]byte(in))
		if err == nil || want != "" && err.Error() != want {
			t.Errorf("%.40s: %v, want %s", in, err, want)
		}
	}
	if _, err := document.Document([]byte(`{"b":` + nested(63) + `}`)); err != nil {
		t.Error(err)
	}
}

func nested(depth int) string { return strings.Repeat("[", depth) + strings.Repeat("]", depth) }

func TestFieldsAreThoseOfTheObject(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		doc := bytesOf(t, objects(2).Draw(t, "doc"))
		object := decode(t, doc).(map[string]any)
		if n := document.Count(doc); n != len(object) {
			t.Fatalf("count %d of %s", n, doc)
		}
		seen := 0
		for name, value := range document.Fields(doc) {
			seen++
			want, has := object[name]
			wanted, err := json.Marshal(want)
			if err != nil {
				t.Fatal(err)
			}
			if wanted, err = document.Patch(wanted); err != nil || !has || !bytes.Equal(wanted, value) || !bytes.Equal(document.Field(doc, name), value) {
				t.Fatalf("%q: %s, want %s", name, value, wanted)
			}
		}
		for _, name := range append(names, "\xff") {
			if _, has := object[name]; !has && document.Field(doc, name) != nil {
				t.Fatalf("%q is not in %s", name, doc)
			}
		}
		if seen != len(object) {
			t.Fatalf("%d fields of %s", seen, doc)
		}
	})
}

func FuzzDocument(f *testing.F) { fuzz(f, document.Document) }
func FuzzPatch(f *testing.F)    { fuzz(f, document.Patch) }

func fuzz(f *testing.F, canonical func([]byte) ([]byte, error)) {
	f.Helper()
	for _, seed := range []string{``, `{}`, `{"b":1,"a":{"é":[null,{"x":null}]}}`, `{"\u0061":1e400,"a":2}`, `[{"\\\"":"\\"}]`, `{"a":null}`, "\xff", `{"\ud800":1}`, nested(70)} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		once, err := canonical(raw)
		if err != nil {
			return
		}
		twice, err := canonical(once)
		if err != nil || !bytes.Equal(once, twice) {
			t.Fatalf("%q becomes %q becomes %q, %v", raw, once, twice, err)
		}
		if !json.Valid(once) {
			t.Fatalf("%q is no JSON", once)
		}
		// Everything may be asked of it.
		for name, value := range document.Fields(once) {
			if !bytes.Equal(document.Field(once, name), value) {
				t.Fatalf("%q: field %q", once, name)
			}
		}
		h := document.NewHidden(parseAll(t, "a.b", "*.c", "b")...)
		if left := h.Redact(once); !bytes.Equal(left, h.Redact(left)) {
			t.Fatalf("%q: view %q", once, left)
		}
		h.Refuses(once)
	})
}
