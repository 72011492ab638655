package hub

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/roxyhub/roxy"
)

// countingEncoding counts the events that are spelled.
type countingEncoding struct {
	lineEncoding
	spelled *atomic.Int64
}

func (e countingEncoding) AppendEvent(dst []byte, c roxy.Cursor, eventType string, envelope []byte) []byte {
	e.spelled.Add(1)
	return e.lineEncoding.AppendEvent(dst, c, eventType, envelope)
}

// Roles make classes; what they see of a topic decides whether these share an event's bytes.
func TestClassesShareAnEventWhenTheySeeTheSameOfIt(t *testing.T) {
	f := startQuick(t, Options{Fields: append(secrets(t), rule(t, "tables/*", "note", "waiter", "manager"))})
	encoding := countingEncoding{spelled: new(atomic.Int64)}
	var recorders []*recorder
	for _, role := range []string{"waiter", "kitchen", "manager"} {
		r, _ := f.subscribe(t, Subscription{
			Identity: all(t, "bar", "u-"+role, role), Patterns: []roxy.Pattern{pattern(t, "**")}, Encoding: encoding,
		})
		r.awaitLine(t, "C roxy:live")
		recorders = append(recorders, r)
	}
	for _, tt := range []struct {
		on   string
		want int64
	}{
		{"calls/1", 1},  // no rules
		{"orders/1", 2}, // waiter and kitchen see the same
		{"tables/1", 2}, // waiter and manager do
	} {
		before := encoding.spelled.Load()
		offset := f.publish(t, all(t, "bar", "u1"), event(t, tt.on, `{"cost":1,"note":2}`))[0].Cursor.Offset
		for _, r := range recorders {
			r.awaitLine(t, fmt.Sprintf("E %d ", offset))
		}
		if got := encoding.spelled.Load() - before; got != tt.want {
			t.Errorf("%s was spelled %d times, want %d", tt.on, got, tt.want)
		}
	}
}

// A patch of hidden fields alone is told as {}, and hello tells views apart.
func TestViewIsNamedAndItsDeltasAreItsOwn(t *testing.T) {
	f := startQuick(t, Options{Fields: secrets(t)})
	boss, waiter, cook := all(t, "bar", "u1", "manager"), all(t, "bar", "u2", "waiter"), all(t, "bar", "u3", "kitchen")
	names := make(map[string]string)
	recorders := make(map[string]*recorder)
	for name, who := range map[string]roxy.Identity{"manager": boss, "waiter": waiter, "kitchen": cook} {
		r, _ := f.subscribe(t, orders(t, who))
		r.awaitLine(t, "C roxy:live")
		_, rest, _ := strings.Cut(r.lines()[0], `"view":"`)
		names[name], _, _ = strings.Cut(rest, `"`)
		recorders[name] = r
	}
	if names["waiter"] != names["kitchen"] || names["waiter"] == names["manager"] || names["manager"] == "" {
		t.Errorf("the views are %v", names)
	}
	f.mutate(t, boss, put(t, "orders/1", `{"a":1,"customer":{"phone":"1"}}`))
	f.mutate(t, boss, put(t, "orders/1", `{"a":1,"cost":2,"customer":{"phone":"2"}}`))
	f.mutate(t, boss, put(t, "orders/1", `{"customer":{"name":"Ada"}}`))
	for name, want := range map[string][]string{
		"manager": {`{"a":1,"customer":{"phone":"1"}}`, `{"cost":2,"customer":{"phone":"2"}}`, `{"a":null,"cost":null,"customer":{"name":"Ada","phone":null}}`},
		"waiter":  {`{"a":1}`, `{}`, `{"a":null,"customer":{"name":"Ada"}}`},
		"kitchen": {`{"a":1}`, `{}`, `{"a":null,"customer":{"name":"Ada"}}`},
	} {
		recorders[name].awaitLine(t, "E 3 ")
		var got []string
		for _, l := range recorders[name].lines() {
			if _, rest, ok := strings.Cut(l, `"patch":`); ok {
				got = append(got, strings.TrimSuffix(rest, "}"))
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s is told %s, want %s", name, got, want)
		}
	}
}

// Only who sees more or less than before has to come again.
func TestSetFieldsEndsTheStreamsWhoseViewChanges(t *testing.T) {
	f := startQuick(t, Options{Fields: secrets(t)})
	roles := []string{"manager", "waiter", "kitchen"}
	recorders := make(map[string]*recorder)
	connect := func() {
		for _, role := range roles {
			r, _ := f.subscribe(t, orders(t, all(t, "bar", "u-"+role, role)))
			r.awaitLine(t, "C roxy:live")
			recorders[role] = r
		}
	}
	connect()
	for _, tt := range []struct {
		name  string
		rules []FieldRule
		ended []string
	}{
		{"the same rules", secrets(t), nil},
		{"the same in another order, one of them twice", append([]FieldRule{rule(t, "orders/*", "cost", "manager")}, secrets(t)...), nil},
		{"a rule for a role that has no stream", append(secrets(t), rule(t, "menu/*", "margin", "manager", "waiter", "kitchen")), nil},
		{"the kitchen sees the cost", []FieldRule{secrets(t)[0], rule(t, "orders/*", "cost", "manager", "kitchen")}, []string{"kitchen"}},
		{"nobody sees the cost", []FieldRule{secrets(t)[0], rule(t, "orders/*", "cost")}, []string{"manager", "kitchen"}},
		{"no rules", nil, []string{"manager", "waiter", "kitchen"}},
	} {
		if err := f.SetFields(tt.rules); err != nil {
			t.Fatal(err)
		}
		offset := f.publish(t, all(t, "bar", "u1"), event(t, "orders/1", `1`))[0].Cursor.Offset
		for _, role := range roles {
			wants := fmt.Sprintf("E %d ", offset)
			if slices.Contains(tt.ended, role) {
				wants = `C roxy:bye {"reason":"drain"`
			}
			recorders[role].awaitLine(t, wants)
		}
		connect()
	}
	if err := f.SetFields(make([]FieldRule, MaxFieldRules+1)); err == nil {
		t.Error("more rules than there may be were taken")
	}
}

// Streams come while the rules change: each either begins with the new ones or is told to come again, so that none goes on
// seeing what it may no longer see.
func TestNoStreamKeepsAViewThatIsNoMore(t *testing.T) {
	f := startQuick(t, Options{})
	boss, waiter := all(t, "bar", "u1", "manager"), all(t, "bar", "u2", "waiter")
	var mu sync.Mutex
	var recorders []*recorder
	var coming sync.WaitGroup
	for range 4 {
		coming.Go(func() {
			for range 25 {
				r, _ := f.subscribe(t, orders(t, waiter))
				mu.Lock()
				recorders = append(recorders, r)
				mu.Unlock()
			}
		})
	}
	for range 10 {
		if err := f.SetFields(nil); err != nil {
			t.Error(err)
		}
		if err := f.SetFields(secrets(t)); err != nil {
			t.Error(err)
		}
	}
	coming.Wait()
	offset := f.publish(t, boss, event(t, "orders/1", `{"cost":"secret"}`))[0].Cursor.Offset
	for _, r := range recorders {
		lines := r.await(t, "the event or goodbye", func(lines []string) bool {
			last := lines[len(lines)-1]
			return strings.HasPrefix(last, fmt.Sprintf("E %d ", offset)) || strings.HasPrefix(last, "C roxy:bye") || strings.HasPrefix(last, "C roxy:live") && strings.Contains(last, fmt.Sprintf(".%d", offset))
		})
		if strings.Contains(strings.Join(lines, "\n"), "secret") {
			t.Fatalf("a waiter was given %s", lines)
		}
	}
}
