package bar_test

import (
	"bytes"
	"context"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/client"
	bar "github.com/roxyhub/roxy/examples/bar"
	"github.com/roxyhub/roxy/internal/testkit"
)

// Each listener hears of the first hours exactly what the policy and the audiences say, in the order it was said:
// whether it listens while it is said or comes when all is over.
func TestEveryoneHearsWhatIsForThemAndNothingElse(t *testing.T) {
	h := openBar(t)
	turns := evening(t)[:500]
	grants := policy(t)
	everyone := []listener{
		{"kitchen", "kitchen"},
		{"counter", "counter"},
		{"waiter-1", "waiter"},
		{"waiter-2", "waiter"},
		{"till", "till"},
		{"supervisor", "supervisor"},
		{"manager", "manager"},
	}
	live := make([]func() []string, len(everyone))
	for i, l := range everyone {
		live[i] = h.listen(t, l, grants[l.role].Read)
	}
	said := 0
	player := bar.Player{URL: h.url, Secret: h.secret, HTTPClient: h.web, Said: func(_ bar.Turn, duplicate bool) {
		if duplicate {
			t.Error("the hub took a new event for one it had")
		}
		said++
	}}
	if err := player.Play(t.Context(), append(slices.Clone(turns), curtain(t))); err != nil {
		t.Fatal(err)
	}
	if said != len(turns)+1 {
		t.Errorf("%d turns were said, want %d", said, len(turns)+1)
	}
	for i, l := range everyone {
		var want []string
		for _, turn := range turns {
			if hears(l.user, l.role, grants, turn.Event) {
				want = append(want, describe(turn.As, turn.Event))
			}
		}
		if got := live[i](); !slices.Equal(got, want) {
			t.Errorf("%s heard while it was said\n%s", l.user, difference(got, want))
		}
		if got := h.listen(t, l, grants[l.role].Read)(); !slices.Equal(got, want) {
			t.Errorf("%s heard afterwards\n%s", l.user, difference(got, want))
		}
	}
}

// Who plays a night again says nothing twice, and another night is new.
func TestPlayGoesOnWhereItStopped(t *testing.T) {
	h := openBar(t)
	turns := evening(t)[:40]
	for _, tt := range []struct {
		night      string
		turns      []bar.Turn
		duplicates int
	}{
		{"monday-", turns[:25], 0},
		{"monday-", turns, 25},
		{"tuesday-", turns, 0},
	} {
		duplicates := 0
		player := bar.Player{URL: h.url, Secret: h.secret, HTTPClient: h.web, Night: tt.night, Said: func(_ bar.Turn, duplicate bool) {
			if duplicate {
				duplicates++
			}
		}}
		if err := player.Play(t.Context(), tt.turns); err != nil || duplicates != tt.duplicates {
			t.Fatalf("%s %d turns: %d said before, %v; want %d", tt.night, len(tt.turns), duplicates, err, tt.duplicates)
		}
	}
}

// openHouse is a hub with the policy of roxy.yaml.
type openHouse struct {
	url    string
	secret []byte
	web    *http.Client
}

func openBar(t *testing.T) *openHouse {
	t.Helper()
	text, err := os.ReadFile("roxy.yaml")
	if err != nil {
		t.Fatal(err)
	}
	_, roles, ok := strings.Cut(string(text), "\n  roles:\n")
	if !ok {
		t.Fatal("roxy.yaml does not end with policy.roles")
	}
	hub := testkit.Start(t, testkit.Config{Roles: roles})
	secret, err := os.ReadFile(filepath.Join(filepath.Dir(hub.ConfigFile()), "secret"))
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return &openHouse{url: hub.URL, secret: secret, web: &http.Client{Transport: transport}}
}

type listener struct{ user, role string }

// listen follows all that a listener may read, and returns what gives it when the curtain has fallen.
func (h *openHouse) listen(t *testing.T, l listener, patterns []roxy.Pattern) (heard func() []string) {
	t.Helper()
	c, err := client.New(client.Options{URL: h.url, HTTPClient: h.web, Token: func(context.Context) (string, error) {
		return bar.Token(h.secret, l.user, []string{l.role}, time.Minute)
	}})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	var done sync.WaitGroup
	done.Go(func() {
		for m, err := range c.Subscribe(t.Context(), client.Subscription{Patterns: patterns, Earliest: true}) {
			if err != nil {
				t.Errorf("%s: %v", l.user, err)
				return
			}
			switch m := m.(type) {
			case client.Event:
				if m.Type == curtainType {
					return
				}
				got = append(got, describe(m.By, m.Event))
			case client.Reset:
				t.Errorf("%s: reset for %s", l.user, m.Reason)
			}
		}
	})
	return func() []string { done.Wait(); return got }
}

// curtainType ends the evening for every listener: what is behind it in the log was said before it.
const curtainType = "curtain"

func curtain(t *testing.T) bar.Turn {
	t.Helper()
	topic, err := roxy.ParseTopic("products/curtain") // all the listeners may read products
	if err != nil {
		t.Fatal(err)
	}
	return bar.Turn{As: "manager", Roles: []string{"manager"}, Event: roxy.Event{Topic: topic, Type: curtainType, ID: curtainType}}
}

func describe(by string, e roxy.Event) string {
	data := jsontext.Value(bytes.Clone(e.Data)) // where some fields are hidden from some, its members come sorted
	if err := data.Canonicalize(); err != nil && data != nil {
		return err.Error()
	}
	return strings.Join([]string{by, e.Type, e.Topic.String(), e.Correlation, string(data)}, " ")
}

// difference shows the first place where two lists part.
func difference(got, want []string) string {
	for i := range max(len(got), len(want)) {
		var g, w string
		if i < len(got) {
			g = got[i]
		}
		if i < len(want) {
			w = want[i]
		}
		if g != w {
			return "first difference: got " + g + "\n                 want " + w
		}
	}
	return "no difference"
}
