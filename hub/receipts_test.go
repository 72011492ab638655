package hub

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/roxyhub/roxy"
)

// receipts are those among lines.
func receipts(lines []string) (all []string) {
	for _, l := range lines {
		if rest, ok := strings.CutPrefix(l, "C roxy:receipt "); ok {
			all = append(all, rest)
		}
	}
	return all
}

func TestReceiptReachesTheDeviceOfItsAuthorAndNobodyElse(t *testing.T) {
	for _, gzip := range []bool{false, true} {
		t.Run(fmt.Sprintf("compressed %v", gzip), func(t *testing.T) {
			f := startQuick(t, Options{})
			ann, bob, stranger := all(t, "bar", "ann"), all(t, "bar", "bob"), all(t, "pub", "ann")
			open := func(who roxy.Identity, device string) *recorder {
				sub := orders(t, who)
				sub.Device, sub.Gzip = device, gzip
				r := newRecorder()
				r.gzip = gzip
				f.follow(t, sub, r)
				r.awaitLine(t, "C roxy:live")
				return r
			}
			mine := open(ann, "tablet-1")
			others := []*recorder{open(ann, "tablet-2"), open(ann, ""), open(bob, "tablet-3"), open(stranger, "tablet-1")}

			first := put(t, "orders/1", `{"a":1}`)
			first.ID, first.Device, first.Seq = "m1", "tablet-1", 1
			nameless := first // without an id nobody could tell whose receipt it is
			nameless.ID, nameless.Seq = "", 2
			refused := first
			refused.ID, refused.Guard, refused.Base = "m2", roxy.GuardVersion, 7
			committed := f.mutate(t, ann, first)[0]
			f.mutate(t, ann, nameless)
			if _, err := f.Mutate(t.Context(), ann, []roxy.Mutation{refused}); err == nil {
				t.Error("a wrong base passed")
			}
			f.mutate(t, ann, first) // and again, since the answer may have been lost
			if _, err := f.Cancel(t.Context(), ann, "m3"); err != nil {
				t.Fatal(err)
			}
			cancelled := first
			cancelled.ID = "m3"
			if _, err := f.Mutate(t.Context(), ann, []roxy.Mutation{cancelled}); err == nil {
				t.Error("what was cancelled passed")
			}
			want := []string{
				fmt.Sprintf(`{"id":"m1","status":"committed","topic":"orders/1","version":1,"cursor":"%s"}`, committed.Cursor),
				`{"id":"m2","status":"refused","topic":"orders/1","problem":{"code":"version-conflict","member":"base","detail":"orders/1: it must be at version 7 and is at 2"}}`,
				fmt.Sprintf(`{"id":"m1","status":"committed","topic":"orders/1","version":1,"cursor":"%s"}`, committed.Cursor),
				`{"id":"m3","status":"cancelled","topic":"orders/1","problem":{"code":"cancelled","member":"id","detail":"the mutation was cancelled before it came; nothing was changed"}}`,
			}
			lines := mine.await(t, "receipts", func(lines []string) bool { return len(receipts(lines)) == len(want) })
			if got := receipts(lines); !slices.Equal(got, want) {
				t.Errorf("got  %s\nwant %s", got, want)
			}
			f.mutate(t, bob, put(t, "orders/1", `{"end":true}`))
			f.mutate(t, stranger, put(t, "orders/1", `{"end":true}`))
			for _, r := range others {
				lines := r.await(t, "the end", func(lines []string) bool { return strings.Contains(lines[len(lines)-1], `"end":true`) })
				if got := receipts(lines); len(got) > 0 {
					t.Errorf("somebody else heard %s", got)
				}
			}
		})
	}
}
