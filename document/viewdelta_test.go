package document

import (
	"testing"

	"github.com/roxyhub/roxy"
)

// A half of a Diff may hold an object whole, for the sake of those who see a part of it. Who sees all of it is told what is
// gone all the same.
func TestViewDeltaOfWhoSeesAllTellsWhatIsGone(t *testing.T) {
	path, err := roxy.ParseFieldPath("customer.phone")
	if err != nil {
		t.Fatal(err)
	}
	was, now := []byte(`{"a":1,"customer":{"name":"Ada","phone":"1"}}`), []byte(`{"a":1,"customer":{"phone":"2"}}`)
	whole := NewParts(path).Whole()
	patch, undo := Diff(was, now, whole), Diff(now, was, whole)
	var sees *Hidden
	if got := string(Merge(was, sees.ViewDelta(undo, patch))); got != string(now) {
		t.Errorf("got %s, want %s", got, now)
	}
	if got := string(NewHidden(path).ViewDelta(undo, patch)); got != `{"customer":null}` {
		t.Errorf("who does not see the phone is told %s", got)
	}
}
