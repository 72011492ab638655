package httpapi

import (
	"bytes"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/auth"
	"github.com/roxyhub/roxy/document"
)

// checkProblem holds an error to what every caller is owed: a problem that says what is wrong.
func checkProblem(t *testing.T, input any, err error) {
	t.Helper()
	if p, ok := errors.AsType[*roxy.Problem](err); !ok || p.Code == roxy.Internal || p.Detail == "" {
		t.Fatalf("%q: error %v is no problem that a caller can read", input, err)
	}
}

func TestDecodeMutationsKeepsEveryMember(t *testing.T) {
	body := []byte(` [{"id":"m1","op":"put","topic":"orders/42","data":{"b":1e400,"a":null,"c":{"y":"\u00e9","x":null}},"guard":"version","base":9007199254740991,
		"device":"tablet-1","seq":8,"type":"order:new","correlation":"c1"}, {"op":"patch","topic":"orders/42","patch":{"a":null,"b":{"c":null}},"guard":"fields","base":0}] `)
	mutations, array, err := decodeMutations(body, 2)
	if err != nil || !array || len(mutations) != 2 {
		t.Fatalf("%d mutations, array %v, error %v", len(mutations), array, err)
	}
	for i := range body { // they do not share its memory
		body[i] = '!'
	}
	m := mutations[0]
	if m.ID != "m1" || m.Op != roxy.Put || m.Topic.String() != "orders/42" || string(m.Data) != `{"b":1e400,"c":{"y":"é"}}` || m.Guard != roxy.GuardVersion ||
		m.Base != 1<<53-1 || m.Device != "tablet-1" || m.Seq != 8 || m.Type != "order:new" || m.Correlation != "c1" || m.Present {
		t.Errorf("got %+v", m)
	}
	if m := mutations[1]; m.Op != roxy.Patch || string(m.Data) != `{"a":null,"b":{"c":null}}` || m.Guard != roxy.GuardFields || m.Base != 0 {
		t.Errorf("got %+v", m)
	}
}

func FuzzDecodeMutations(f *testing.F) {
	for _, seed := range []string{
		`{"op":"put","topic":"orders/1","data":{"b":1e400,"a":[1,{"x":"\ud83d\ude00 \\\" "}]},"guard":"version","base":3}`,
		`[{"op":"patch","topic":"a","patch":{"a":null,"b":{"c":null}},"guard":"fields","base":0,"device":"d","seq":1},{"op":"delete","topic":"b"}]`,
		`{"op":"put","topic":"a","data":{"a":1,"a":2}}`, `{"op":"put","topic":"a","data":{"a":"\ud800"}}`, "{\"op\":\"put\",\"data\":{\"\xff\":1}}",
		`[`, `[]`, `null`, `{"op":"put","topic":"a","data":7}`, `{"op":"put","data":` + strings.Repeat(`{"a":`, 70), `{"base":-1}`, `{"base":1.5}`, `{"seq":9007199254740992}`,
		`{"op":"patch","data":{}}`, `{"op":"delete","topic":"a","guard":"version"}`, `{"op":"put","topic":"a","data":{"a":null},"patch":{}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		mutations, _, err := decodeMutations(bytes.Clone(body), maxBatch)
		if err != nil {
			checkProblem(t, body, err)
			return
		}
		if len(mutations) == 0 || len(mutations) > maxBatch {
			t.Fatalf("%q: %d mutations", body, len(mutations))
		}
		for i := range mutations {
			m := &mutations[i]
			if m.Base > maxCount || m.Seq > maxCount || m.Guard == roxy.GuardNone && m.Base != 0 {
				t.Fatalf("%q: %+v", body, m)
			}
			if m.Data == nil {
				continue
			}
			form := document.Document
			if m.Op == roxy.Patch {
				form = document.Patch
			}
			if again, err := form(m.Data); err != nil || !bytes.Equal(again, m.Data) || m.Data[0] != '{' || bytes.ContainsAny(m.Data, "\r\n") {
				t.Fatalf("%q: %q is not canonical: %q, %v", body, m.Data, again, err)
			}
		}
	})
}

func FuzzDecodeIDs(f *testing.F) {
	for _, seed := range []string{`{"ids":["a","b"]}`, `{"ids":[]}`, `{}`, `{"ids":null}`, `{"ids":["\ud800"]}`, `{"ids":[""]}`, `{"ids":["a"],"ids":["b"]}`, `["a"]`, `{"ids":["a"]}{`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		ids, err := decodeIDs(body, maxBatch)
		if err != nil {
			checkProblem(t, body, err)
			return
		}
		if len(ids) == 0 || len(ids) > maxBatch {
			t.Fatalf("%q: %d ids", body, len(ids))
		}
		for _, id := range ids {
			if err := roxy.CheckName(id); err != nil {
				t.Fatalf("%q: %v", body, err)
			}
		}
	})
}

// What was decided stays so, whatever has changed since; what was not decided is free.
func TestRefusedMutationKeepsItsResult(t *testing.T) {
	s := open(t, unbounded(), nil)
	clash := `{"id":"clash","op":"patch","topic":"orders/1","patch":{"a":2},"guard":"version","base":7}`
	for _, step := range []struct {
		name string
		call call
	}{
		{"an entity", put("orders/1", `{"a":1}`)},
		{"one of three is refused", bulk(`[{"id":"before","op":"put","topic":"orders/2","data":{}},` + clash + `,{"id":"behind","op":"put","topic":"orders/3","data":{}}]`)},
		{"the same alone", bulk(clash)},
		{"what became of the three", call{http.MethodPost, "/v1/mutations/status", nil, `{"ids":["before","clash","behind"]}`}},
		{"too late to cancel", call{method: http.MethodDelete, path: "/v1/mutations/clash"}},
		{"an id that stayed free", bulk(`{"id":"before","op":"put","topic":"orders/4","data":{}}`)},
		{"a patch of nothing", patch("orders/5", `{}`, "Idempotency-Key", "nowhere")},
		{"something to patch", put("orders/5", `{}`)},
		{"still a patch of nothing", patch("orders/5", `{}`, "Idempotency-Key", "nowhere")},
		{"another user asks", call{http.MethodPost, "/v1/mutations/status", map[string]string{"Authorization": as(t, func(c *auth.Claims) { c.User = "u8" })}, `{"ids":["clash","before"]}`}},
	} {
		golden(t, fileOf("results", step.name), s.answer(t, step.call))
	}
}
