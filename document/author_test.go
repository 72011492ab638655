package document_test

import (
	"bytes"
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"github.com/roxyhub/roxy/document"
)

func TestRefusesNamesThePlace(t *testing.T) {
	h := document.NewHidden(parseAll(t, "customer.phone", "*.secret.key", "top")...)
	for patch, want := range map[string]string{
		`{"customer":{"name":"x","phone":"1"}}`: "customer.phone",
		`{"customer":{"phone":null}}`:           "customer.phone",
		`{"customer":7}`:                        "customer",
		`{"customer":[]}`:                       "customer",
		`{"é":{"secret":"x"}}`:                  "é.secret",
		`{"top":null}`:                          "top",
	} {
		if at, refused := h.Refuses([]byte(patch)); !refused || at != want {
			t.Errorf("%s: %q, %t", patch, at, refused)
		}
	}
	for _, patch := range []string{`{}`, `{"customer":null}`, `{"customer":{"name":null},"other":{"x":[1]}}`, `{"é":{"secret":{"lock":1}}}`} {
		if at, refused := h.Refuses([]byte(patch)); refused {
			t.Errorf("%s: refused at %q", patch, at)
		}
	}
}

func TestRestorePutsBackWhatIsHidden(t *testing.T) {
	h := document.NewHidden(parseAll(t, "a.x", "lines.cost", "top")...)
	for name, tt := range map[string]struct{ view, full, doc, at string }{
		"hidden members":                        {`{"a":{"y":3}}`, `{"a":{"x":1,"y":2},"top":9}`, `{"a":{"x":1,"y":3},"top":9}`, ""},
		"the object around was removed":         {`{}`, `{"a":{"x":1,"y":2}}`, `{"a":{"x":1}}`, ""},
		"nothing was hidden in it":              {`{}`, `{"a":{"y":2}}`, `{}`, ""},
		"an empty one stays":                    {`{}`, `{"a":{}}`, `{"a":{}}`, ""},
		"an empty one does not come":            {`{"a":{}}`, `{}`, `{}`, ""},
		"an array stays":                        {`{"b":1,"lines":[{"n":1}]}`, `{"lines":[{"cost":5,"n":1}]}`, `{"b":1,"lines":[{"cost":5,"n":1}]}`, ""},
		"an array with changes":                 {`{"lines":[{"n":2}]}`, `{"lines":[{"cost":5,"n":1}]}`, ``, "lines"},
		"an array removed":                      {`{}`, `{"lines":[]}`, ``, "lines"},
		"an array is new":                       {`{"lines":[]}`, `{}`, ``, "lines"},
		"a scalar stays":                        {`{"a":7}`, `{"a":7}`, `{"a":7}`, ""},
		"a scalar with changes":                 {`{"a":8}`, `{"a":7}`, ``, "a"},
		"a scalar in place of an unseen object": {`{"a":8}`, `{"a":{"x":1}}`, ``, "a"},
		"a scalar removed":                      {`{}`, `{"a":7}`, `{}`, ""},
		"an object in place of a scalar":        {`{"a":{"y":1}}`, `{"a":7}`, `{"a":{"y":1}}`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			doc, at, ok := h.Restore([]byte(tt.view), []byte(tt.full))
			if string(doc) != tt.doc || at != tt.at || ok != (tt.at == "") {
				t.Errorf("%s, %q, %t", doc, at, ok)
			}
		})
	}
}

func TestRestoreKeepsTheViewAndWhatItHides(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		full, hide := bytesOf(t, objects(3).Draw(t, "full")), paths().Draw(t, "hide")
		h := document.NewHidden(hide...)
		view := h.Redact(full)
		patch := patchOf(t, objects(3).Draw(t, "patch"))
		view = document.Merge(view, patch)
		doc, at, ok := h.Restore(view, full)
		other := bytesOf(t, scramble(t, decode(t, full), nil, hide))
		if _, at2, ok2 := h.Restore(view, other); ok != ok2 || at != at2 {
			t.Fatalf("%v: %s over %s is %t at %q, over %s %t at %q", hide, view, full, ok, at, other, ok2, at2)
		}
		if !ok {
			if at == "" {
				t.Fatalf("%s over %s: no place", view, full)
			}
			if _, _, ok := h.Restore(h.Redact(full), full); !ok {
				t.Fatalf("%v: the view of %s itself is refused", hide, full)
			}
			return
		}
		if a, b := h.Redact(doc), h.Redact(view); !bytes.Equal(a, b) {
			t.Fatalf("%v: %s over %s is %s: view %s, want %s", hide, view, full, doc, a, b)
		}
		if a, b := extract(decode(t, full), nil, hide), extract(decode(t, doc), nil, hide); !reflect.DeepEqual(a, b) {
			t.Fatalf("%v: %s over %s is %s: hidden %v, was %v", hide, view, full, doc, b, a)
		}
		if again := bytesOf(t, decode(t, doc)); !bytes.Equal(again, doc) {
			t.Fatalf("%s is no document", doc)
		}
	})
}

func TestWhatIsNotRefusedAndRestoredChangesNothingHidden(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		full, hide := bytesOf(t, objects(3).Draw(t, "full")), paths().Draw(t, "hide")
		patch := patchOf(t, objects(3).Draw(t, "patch"))
		h := document.NewHidden(hide...)
		if _, refused := h.Refuses(patch); refused {
			return
		}
		doc, at, ok := h.Restore(document.Merge(h.Redact(full), patch), full)
		if !ok {
			if !bytes.Contains(h.Redact(full), []byte("[")) {
				t.Fatalf("%v: %s on %s fails at %q without an array", hide, patch, full, at)
			}
			return
		}
		if a, b := extract(decode(t, full), nil, hide), extract(decode(t, doc), nil, hide); !reflect.DeepEqual(a, b) {
			t.Fatalf("%v: %s on %s is %s: hidden %v, was %v", hide, patch, full, doc, b, a)
		}
	})
}
