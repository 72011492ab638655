package document_test

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/document"
)

// patchOf returns the canonical merge patch of a generated object.
func patchOf(t fataler, object any) []byte {
	patch, err := document.Patch(encode(t, object))
	if err != nil {
		t.Fatal(err)
	}
	return patch
}

func TestRedactLeavesWhatTheRuleSays(t *testing.T) {
	h := document.NewHidden(parseAll(t, "a.x", "lines.cost", "lines.in.x", "top")...)
	for name, tt := range map[string][2]string{
		"hidden members":                     {`{"a":{"x":1,"y":2},"top":3}`, `{"a":{"y":2}}`},
		"an object with nothing to see":      {`{"a":{"x":1}}`, `{}`},
		"an object with nothing in it":       {`{"a":{}}`, `{}`},
		"elements stay in place":             {`{"lines":[{"cost":1},{"cost":2,"n":1},{}]}`, `{"lines":[{},{"n":1},{}]}`},
		"an object in place of an array":     {`{"lines":{"cost":1,"n":1}}`, `{"lines":{"n":1}}`},
		"objects in elements follow":         {`{"lines":[{"in":{"x":1}},{"in":{}},{"in":{"x":1,"y":null}}]}`, `{"lines":[{},{},{"in":{"y":null}}]}`},
		"arrays in arrays":                   {`{"lines":[[{"cost":1}],3]}`, `{"lines":[[{}],3]}`},
		"an array, as events may have":       {`[{"top":1,"n":[{"top":1}]},[{"lines":[{"cost":1}]}],"top"]`, `[{"n":[{"top":1}]},[{"lines":[{}]}],"top"]`},
		"scalars on the way":                 {`{"a":7}`, `{"a":7}`},
		"null on the way, in half a change":  {`{"a":null,"top":null}`, `{"a":null}`},
		"only null to see, in half a change": {`{"a":{"x":1,"y":null}}`, `{}`},
	} {
		t.Run(name, func(t *testing.T) {
			if got := h.Redact([]byte(tt[0])); string(got) != tt[1] {
				t.Errorf("%s, want %s", got, tt[1])
			}
		})
	}
}

func TestRedactReturnsTheDocumentWhenAllOfItIsLeft(t *testing.T) {
	doc := []byte(`{"a":{"y":{}},"b":[{}]}`)
	for _, h := range []*document.Hidden{nil, document.NewHidden(), document.NewHidden(parseAll(t, "a.x", "b.x", "c")...)} {
		if got := h.Redact(doc); &got[0] != &doc[0] {
			t.Errorf("a copy: %s", got)
		}
	}
}

func TestRedactDoesAsTheObviousWay(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		doc, hide := bytesOf(t, objects(3).Draw(t, "doc")), paths().Draw(t, "hide")
		h := document.NewHidden(hide...)
		left, _ := redact(decode(t, doc), nil, hide)
		want, got := bytesOf(t, left), h.Redact(doc)
		if !bytes.Equal(got, want) {
			t.Fatalf("%v of %s: %s, want %s", hide, doc, got, want)
		}
		for name, value := range document.Fields(doc) {
			if field := h.RedactField(name, value); !bytes.Equal(field, document.Field(want, name)) || field == nil != (document.Field(want, name) == nil) {
				t.Fatalf("%v of %s: field %q is %s", hide, doc, name, field)
			}
		}
	})
}

func TestRedactDependsOnVisibleThingsOnly(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		doc, hide := bytesOf(t, objects(3).Draw(t, "doc")), paths().Draw(t, "hide")
		other := bytesOf(t, scramble(t, decode(t, doc), nil, hide))
		h := document.NewHidden(hide...)
		if a, b := h.Redact(doc), h.Redact(other); !bytes.Equal(a, b) {
			t.Fatalf("%v: %s and %s look different: %s and %s", hide, doc, other, a, b)
		}
	})
}

func TestViewDeltaLeadsFromViewToView(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		was, now := related(t)
		tracked := paths().Draw(t, "tracked")
		if rapid.Bool().Draw(t, "hidden only") {
			now = bytesOf(t, scramble(t, decode(t, was), nil, tracked))
		}
		h := document.NewHidden(some(t, tracked)...)
		parts := document.NewParts(tracked...)
		delta := h.ViewDelta(document.Diff(now, was, parts.Whole()), document.Diff(was, now, parts.Whole()))
		before, after := h.Redact(was), h.Redact(now)
		if got := document.Merge(before, delta); !bytes.Equal(got, after) {
			t.Fatalf("%s to %s, tracked %v: view %s to %s, delta %s leads to %s", was, now, tracked, before, after, delta, got)
		}
		if (string(delta) == "{}") != bytes.Equal(before, after) {
			t.Fatalf("view %s to %s: delta %s", before, after, delta)
		}
	})
}

func TestViewDeltaKnowsWhatStayed(t *testing.T) {
	tracked := parseAll(t, "a.x", "top")
	h, whole := document.NewHidden(tracked...), document.NewParts(tracked...).Whole()
	for name, tt := range map[string][3]string{
		"an object that still shows something": {`{"a":{"y":1,"z":2}}`, `{"a":{"y":1}}`, `{"a":{"z":null}}`},
		"an object that shows nothing more":    {`{"a":{"x":1,"z":2}}`, `{"a":{"x":1}}`, `{"a":null}`},
		"an object that shows something now":   {`{"a":{"x":1}}`, `{"a":{"x":1,"z":2}}`, `{"a":{"z":2}}`},
		"a hidden change beside what is seen":  {`{"a":{"x":1,"z":2}}`, `{"a":{"x":3,"z":2},"top":1}`, `{}`},
		"a hidden object that goes":            {`{"a":{"x":1}}`, `{}`, `{}`},
		"all that is":                          {``, `{"a":{"x":1,"z":2},"b":1}`, `{"a":{"z":2},"b":1}`},
		"nothing":                              {`{"b":1}`, `{"b":1}`, `{}`},
	} {
		t.Run(name, func(t *testing.T) {
			undo, patch := document.Diff([]byte(tt[1]), []byte(tt[0]), whole), document.Diff([]byte(tt[0]), []byte(tt[1]), whole)
			if got := h.ViewDelta(undo, patch); string(got) != tt[2] {
				t.Errorf("%s and %s give %s, want %s", undo, patch, got, tt[2])
			}
		})
	}
}

func TestChangedPartsAreWhatViewsSee(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		was, now := related(t)
		tracked := paths().Draw(t, "tracked")
		if rapid.Bool().Draw(t, "hidden only") {
			now = bytesOf(t, scramble(t, decode(t, was), nil, tracked))
		}
		hide := some(t, tracked)
		h, parts := document.NewHidden(hide...), document.NewParts(tracked...)
		undo, patch := document.Diff(now, was, parts.Whole()), document.Diff(was, now, parts.Whole())
		for _, name := range names {
			a, b := document.Field(was, name), document.Field(now, name)
			changed := parts.Changed(name, a, b)
			if (changed == nil) != bytes.Equal(a, b) {
				t.Fatalf("%q: %s to %s: %v", name, a, b, changed)
			}
			if halves := parts.Changed(name, document.Field(undo, name), document.Field(patch, name)); len(halves) != len(changed) {
				t.Fatalf("%q: %s to %s: the halves %s and %s say %v, not %v", name, a, b, undo, patch, halves, changed)
			}
			if !bytes.Equal(h.RedactField(name, a), h.RedactField(name, b)) && !missesOne(h, changed) {
				t.Fatalf("%q: %s to %s: %v, but the view without %v changes", name, a, b, changed, hide)
			}
		}
	})
}

func missesOne(h *document.Hidden, of []roxy.FieldPath) bool {
	for _, path := range of {
		if !h.Has(path) {
			return true
		}
	}
	return false
}

func TestChangedNamesThePartThatDiffers(t *testing.T) {
	p := document.NewParts(parseAll(t, "a.x", "a.y", "b", "*.z")...)
	for name, tt := range map[string]struct {
		was, now string
		want     []string
	}{
		"one path":            {`{"x":1,"y":2}`, `{"x":2,"y":2}`, []string{"a.x"}},
		"two paths":           {`{"x":1,"y":2}`, `{"x":2}`, []string{"a.x", "a.y"}},
		"by any name":         {`{"z":1}`, `{"z":2}`, []string{"*.z"}},
		"nothing":             {`{"x":1}`, `{"x":1}`, nil},
		"null is absence":     {`{"x":null}`, `{}`, nil},
		"an object, unseen":   {`{}`, ``, []string{"a.x", "a.y", "*.z"}},
		"what no path covers": {`{"q":1}`, `{"q":2}`, []string{"", "a.x", "a.y", "*.z"}},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, path := range p.Changed("a", []byte(tt.was), []byte(tt.now)) {
				got = append(got, path.String())
			}
			if len(got) != len(tt.want) {
				t.Fatalf("%q, want %q", got, tt.want)
			}
			for i := range got {
				if got[i] != tt.want[i] {
					t.Fatalf("%q, want %q", got, tt.want)
				}
			}
		})
	}
	// What shows with neither a.in.x nor a.in.y alone is not forgotten over a.z, which does.
	unseen := document.NewParts(parseAll(t, "a.in.x", "a.in.y", "a.z")...)
	if got := unseen.Changed("a", []byte(`{"in":{},"z":1}`), []byte(`{"z":2}`)); len(got) != 3 {
		t.Errorf("%v, want all", got)
	}
	if document.NewParts(parseAll(t, "a", "*")...) != nil {
		t.Error("parts without a nested path")
	}
}
