package client

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

const noon = "2026-11-23T12:00:00Z"

func present(part, parts int, users ...string) string {
	list := make([]string, 0, len(users))
	for _, u := range users {
		list = append(list, fmt.Sprintf(`{"user":%q,"since":%q}`, u, noon))
	}
	return fmt.Sprintf("event: roxy:presence\ndata: {\"present\":[%s],\"part\":%d,\"parts\":%d}\n\n", strings.Join(list, ","), part, parts)
}

func joined(user string) string {
	return fmt.Sprintf("event: roxy:presence\ndata: {\"joined\":[{\"user\":%q,\"device\":\"d\",\"since\":%q,\"others\":0}],\"left\":[]}\n\n", user, noon)
}

func left(user string) string {
	return fmt.Sprintf("event: roxy:presence\ndata: {\"joined\":[],\"left\":[{\"user\":%q,\"until\":%q,\"others\":1}]}\n\n", user, noon)
}

// presenceWord is m in one word.
func presenceWord(m Presence) string {
	var words []string
	if m.All {
		words = append(words, "all")
	}
	for _, c := range m.Joined {
		words = append(words, "+"+c.User+c.Device)
	}
	for _, c := range m.Left {
		words = append(words, "-"+c.User+c.Device)
	}
	return strings.Join(words, " ")
}

func TestSubscribeYieldsPresence(t *testing.T) {
	for name, tt := range map[string]struct {
		steps []step
		want  []string
		bad   bool
	}{
		"everybody, then who comes and goes": {
			steps: []step{stream(hello("e.1"), live("e.1", 0), present(1, 1, "ann"), joined("bob"), left("ann"))},
			want:  []string{"live(e.1 0)", "all +ann", "+bobd", "-ann"},
		},
		"a list of parts at once": {
			steps: []step{stream(hello("e.1"), present(1, 3, "ann"), present(2, 3, "bob", "cyd"), present(3, 3))},
			want:  []string{"all +ann +bob +cyd"},
		},
		"a list that was cut from its beginning": {
			steps: []step{stream(hello("e.1"), present(1, 2, "ann")), stream(hello("e.1"), present(1, 2, "bob"), present(2, 2, "cyd"))},
			want:  []string{"all +bob +cyd"},
		},
		"everybody again for who fell behind": {
			steps: []step{stream(hello("e.1"), present(1, 1, "ann"), present(1, 1, "bob"))},
			want:  []string{"all +ann", "all +bob"},
		},
		"and ends with a list that has a hole": {
			steps: []step{stream(hello("e.1"), present(1, 3, "ann"), present(3, 3, "bob"))}, bad: true,
		},
		"and ends with a change amid a list": {
			steps: []step{stream(hello("e.1"), present(1, 2, "ann"), joined("bob"))}, bad: true,
		},
		"and ends with what is none": {
			steps: []step{stream(hello("e.1"), "event: roxy:presence\ndata: {\"joined\":7}\n\n")}, bad: true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := follow(t, &script{steps: tt.steps}, Subscription{}, Options{})
			if (err != nil) != tt.bad || !slices.Equal(got, tt.want) {
				t.Errorf("got %q, %v\nwant %q", got, err, tt.want)
			}
		})
	}
}

func TestPresenceIsTakenAsTheHubTellsIt(t *testing.T) {
	page, err := decodePresence([]byte(`{"users":[{"user":"ann","devices":[{"since":"` + noon + `","connected":true,"transport":"sse"}]}],"page":"x","more":1}`))
	at, _ := time.Parse(time.RFC3339, noon)
	want := PresentDevice{Since: at, Connected: true, Transport: "sse"}
	if err != nil || page.Page != "x" || len(page.Users) != 1 || page.Users[0].User != "ann" || page.Users[0].Devices[0] != want {
		t.Errorf("got %+v, %v", page, err)
	}
}

func FuzzDecodePresence(f *testing.F) {
	f.Add([]byte(`{"users":[{"user":"ann","devices":[{"since":"2026-11-23T12:00:00Z","connected":true}]}],"page":"x"}`))
	f.Add([]byte(`{"users":null}`))
	f.Add([]byte(`[]`))
	f.Fuzz(func(t *testing.T, text []byte) {
		if page, err := decodePresence(text); err == nil && len(text) < len(page.Users) {
			t.Fatalf("%d users of %d bytes", len(page.Users), len(text))
		}
	})
}
