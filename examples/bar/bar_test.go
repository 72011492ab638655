package bar_test

import (
	"bytes"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"github.com/roxyhub/roxy"
	bar "github.com/roxyhub/roxy/examples/bar"
)

// policy reads the roles of roxy.yaml by itself, so that the tests do not take the hub's word for them.
func policy(t *testing.T) map[string]roxy.Grant {
	t.Helper()
	text, err := os.ReadFile("roxy.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Policy struct {
			Roles map[string]struct {
				Read, Publish, Write []string
				Admin                bool
			}
		}
	}
	if err := yaml.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	grants := map[string]roxy.Grant{}
	for role, may := range file.Policy.Roles {
		grants[role] = roxy.Grant{Read: patterns(t, may.Read...), Publish: patterns(t, may.Publish...), Write: patterns(t, may.Write...), Admin: may.Admin}
	}
	return grants
}

func patterns(t *testing.T, names ...string) []roxy.Pattern {
	t.Helper()
	var out []roxy.Pattern
	for _, s := range names {
		p, err := roxy.ParsePattern(s)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, p)
	}
	return out
}

func evening(t *testing.T) []bar.Turn {
	t.Helper()
	text, err := os.ReadFile("evening.ndjson")
	if err != nil {
		t.Fatal(err)
	}
	turns, err := bar.Read(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return turns
}

// hears is the naive reading of docs/protocol.md §1 and §2: who may read the topic and belongs to the audience.
func hears(user, role string, grants map[string]roxy.Grant, e roxy.Event) bool {
	return slices.ContainsFunc(grants[role].Read, func(p roxy.Pattern) bool { return p.Matches(e.Topic) }) &&
		e.To.Includes(user, []string{role})
}

func TestWhatIsSaidIsAllowedByThePolicy(t *testing.T) {
	grants := policy(t)
	for _, turn := range evening(t) {
		if !grants[turn.Roles[0]].MayPublish(turn.Event.Topic) {
			t.Errorf("%s: %s as %s on %s", turn.Event.ID, turn.Event.Type, turn.Roles[0], turn.Event.Topic)
		}
	}
}

// The policy is as tight as the README says: each role hears of what concerns it and nothing else.
func TestEachRoleHearsWhatConcernsIt(t *testing.T) {
	grants := policy(t)
	want := map[string]string{ // user: the first segments of the topics of which something is heard
		"waiter":     "calls notes orders products receipts tables",
		"kitchen":    "notes orders products",
		"counter":    "notes orders products",
		"till":       "orders payments products receipts tables",
		"supervisor": "calls orders payments products receipts shifts tables",
		"manager":    "orders payments products receipts shifts tables",
		"admin":      "",
		"table":      "",
	}
	for role, want := range want {
		user := map[string]string{"waiter": "waiter-1", "table": "table-7"}[role]
		if user == "" {
			user = role
		}
		heard := map[string]bool{}
		for _, turn := range evening(t) {
			if hears(user, role, grants, turn.Event) {
				first, _, _ := strings.Cut(turn.Event.Topic.String(), "/")
				heard[first] = true
			}
		}
		var got []string
		for topic := range heard {
			got = append(got, topic)
		}
		slices.Sort(got)
		if strings.Join(got, " ") != want {
			t.Errorf("%s hears of %v, want %s", user, got, want)
		}
	}
	for role, grant := range grants {
		if grant.Admin != (role == "admin") {
			t.Errorf("%s: admin %v", role, grant.Admin)
		}
	}
}

func TestReadNamesTheLineAtFault(t *testing.T) {
	good := `{"at":"00:42:07.250","as":"waiter-3","roles":["waiter"],"event":{"topic":"orders/1","type":"order:new","id":"1","data":{}}}` + "\n"
	for name, bad := range map[string]string{
		"no JSON":            "hello",
		"an unknown member":  strings.Replace(good, `"as"`, `"who":"x","as"`, 1),
		"a bad topic":        strings.Replace(good, "orders/1", "orders//1", 1),
		"a bad time":         strings.Replace(good, "00:42:07.250", "42 minutes", 1),
		"an earlier time":    strings.Replace(good, "00:42:07.250", "00:42:07.249", 1),
		"a bad ttl":          strings.Replace(good, `"data"`, `"ttl":"soon","data"`, 1),
		"a nameless reader":  strings.Replace(good, `"data"`, `"to":{"users":[""]},"data"`, 1),
		"text behind a line": strings.TrimSpace(good) + " x",
	} {
		if _, err := bar.Read(strings.NewReader(good + bad)); err == nil || !strings.HasPrefix(err.Error(), "line 2: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzRead: what can be read is written back the same.
func FuzzRead(f *testing.F) {
	f.Add(`{"at":"00:42:07.250","as":"waiter-3","roles":["waiter"],"event":{"topic":"orders/1","type":"order:new","id":"1","correlation":"v","to":{"roles":["kitchen"],"users":["u"]},"ttl":"15m0s","urgent":true,"data":{"a":1}}}`)
	f.Fuzz(func(t *testing.T, text string) {
		turns, err := bar.Read(strings.NewReader(text))
		if err != nil {
			return
		}
		write := func(turns []bar.Turn) string {
			var out strings.Builder
			for _, turn := range turns {
				if err := turn.Write(&out); err != nil {
					t.Fatal(err)
				}
			}
			return out.String()
		}
		once := write(turns)
		again, err := bar.Read(strings.NewReader(once))
		if err != nil || write(again) != once {
			t.Fatalf("%q became %q, %v", text, once, err)
		}
	})
}
