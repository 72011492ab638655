package document_test

import (
	"bytes"
	"testing"

	jsonpatch "github.com/evanphx/json-patch/v5"
	"pgregory.net/rapid"

	"github.com/roxyhub/roxy/document"
)

// https://www.rfc-editor.org/rfc/rfc7396#appendix-A
func TestMergeDoesAsRFC7396Says(t *testing.T) {
	for _, tt := range [][3]string{
		{`{"a":"b"}`, `{"a":"c"}`, `{"a":"c"}`},
		{`{"a":"b"}`, `{"b":"c"}`, `{"a":"b","b":"c"}`},
		{`{"a":"b"}`, `{"a":null}`, `{}`},
		{`{"a":"b","b":"c"}`, `{"a":null}`, `{"b":"c"}`},
		{`{"a":["b"]}`, `{"a":"c"}`, `{"a":"c"}`},
		{`{"a":"c"}`, `{"a":["b"]}`, `{"a":["b"]}`},
		{`{"a":{"b":"c"}}`, `{"a":{"b":"d","c":null}}`, `{"a":{"b":"d"}}`},
		{`{"a":[{"b":"c"}]}`, `{"a":[1]}`, `{"a":[1]}`},
		{`["a","b"]`, `["c","d"]`, `["c","d"]`},
		{`{"a":"b"}`, `["c"]`, `["c"]`},
		{`{"a":"foo"}`, `null`, `null`},
		{`{"a":"foo"}`, `"bar"`, `"bar"`},
		{`{"e":null}`, `{"a":1}`, `{"a":1,"e":null}`},
		{`[1,2]`, `{"a":"b","c":null}`, `{"a":"b"}`},
		{`{}`, `{"a":{"bb":{"ccc":null}}}`, `{"a":{"bb":{}}}`},
	} {
		if got := document.Merge([]byte(tt[0]), []byte(tt[1])); string(got) != tt[2] {
			t.Errorf("%s with %s is %s, want %s", tt[0], tt[1], got, tt[2])
		}
	}
	if got := document.Merge(nil, []byte(`{"a":null,"b":[null]}`)); string(got) != `{"b":[null]}` {
		t.Errorf("of nothing: %s", got)
	}
}

func TestMergeDoesAsAnotherImplementation(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		target, _ := related(t)
		patch := patchOf(t, withoutNulls(objects(3).Draw(t, "patch"), false))
		other, err := jsonpatch.MergePatch(target, patch)
		if err != nil {
			t.Fatal(err)
		}
		got := document.Merge(target, patch)
		if want, err := document.Patch(other); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("%s with %s is %s, the other says %s (%v)", target, patch, got, want, err)
		}
		if again := bytesOf(t, decode(t, got)); !bytes.Equal(again, got) {
			t.Fatalf("%s is no document", got)
		}
	})
}

// withoutNulls drops the members that are null of objects in arrays: the other implementation drops them from what it
// merges, though RFC 7396 takes arrays as they are.
func withoutNulls(value any, inArray bool) any {
	switch v := value.(type) {
	case map[string]any:
		for name, member := range v {
			if v[name] = withoutNulls(member, inArray); inArray && member == nil {
				delete(v, name)
			}
		}
	case []any:
		for i := range v {
			v[i] = withoutNulls(v[i], true)
		}
	}
	return value
}

func TestDiffLeadsFromOneToTheOther(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		was, now := related(t)
		whole := document.NewHidden(paths().Draw(t, "whole")...)
		patch, undo := document.Diff(was, now, whole), document.Diff(now, was, whole)
		if bytes.Equal(was, now) != (patch == nil) || string(patch) == "{}" {
			t.Fatalf("%s to %s: %s", was, now, patch)
		}
		if got := document.Merge(was, patch); !bytes.Equal(got, now) {
			t.Fatalf("%s to %s: %s leads to %s", was, now, patch, got)
		}
		// The halves hold the same change without what stayed.
		if a, b := document.Diff(undo, patch, nil), document.Diff(was, now, nil); !bytes.Equal(a, b) {
			t.Fatalf("%s to %s: the halves %s and %s say %s, not %s", was, now, undo, patch, a, b)
		}
	})
}
