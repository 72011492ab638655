package bar_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/roxyhub/roxy"
	bar "github.com/roxyhub/roxy/examples/bar"
	"github.com/roxyhub/roxy/schema"
)

func schemas(t *testing.T) *schema.Set {
	t.Helper()
	set, err := schema.Load("schemas")
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func TestEveryEventOfTheEveningIsAsItsSchemaSays(t *testing.T) {
	set := schemas(t)
	seen := map[string]bool{}
	for _, turn := range evening(t) {
		s := set.Event(turn.Event.Type)
		if s == nil {
			t.Fatalf("%s: no schema for %s", turn.Event.ID, turn.Event.Type)
		}
		if err := s.Validate(turn.Event.Data); err != nil {
			t.Errorf("%s: %s: %v", turn.Event.ID, turn.Event.Type, err)
		}
		seen[turn.Event.Type] = true
	}
	for _, f := range set.Files() {
		for _, e := range f.Events {
			if !seen[e] {
				t.Errorf("%s: nobody says %s all evening", f.Name, e)
			}
		}
	}
}

// What is wrong with orders and lines, as each role would be told of it.
func TestAnOrderIsCheckedAsItsWriterSeesIt(t *testing.T) {
	set := schemas(t)
	hidden := map[string]roxy.FieldPath{} // what a waiter does not see
	for topic, p := range map[string]string{"orders/1001": "customer.phone", "lines/1001-a": "cost"} {
		path, err := roxy.ParseFieldPath(p)
		if err != nil {
			t.Fatal(err)
		}
		hidden[topic] = path
	}
	order := `{"table":7,"waiter":"waiter-3","status":"open","guests":2,"customer":{"name":"Ada"}}`
	line := `{"order":"orders/1001","table":7,"product":"espresso","station":"counter","quantity":3,"status":"new","price":250}`
	for name, tt := range map[string]struct{ topic, value, want string }{
		"an order":            {"orders/1001", order, ""},
		"a table too many":    {"orders/1001", strings.Replace(order, "7", "21", 1), "/table maximum"},
		"a nameless customer": {"orders/1001", strings.Replace(order, "Ada", "", 1), "/customer/name minLength"},
		"a misspelt member":   {"orders/1001", strings.Replace(order, "guests", "gusts", 1), "/gusts additionalProperties"},
		"paid without saying": {"orders/1001", strings.Replace(order, `"open"`, `"paid"`, 1), " required"},
		"a line":              {"lines/1001-a", line, ""},
		"a price in euros":    {"lines/1001-a", strings.Replace(line, ":250", ":2.5", 1), "/price type"},
		"a line without":      {"lines/1001-a", strings.Replace(line, `,"price":250`, "", 1), " required"},
		"a line of no order":  {"lines/1001-a", strings.Replace(line, "orders/", "tables/", 1), "/order pattern"},
	} {
		topic, err := roxy.ParseTopic(tt.topic)
		if err != nil {
			t.Fatal(err)
		}
		s := set.Entity(topic)
		views := map[string]error{"whole": s.Validate([]byte(tt.value)), "waiter": s.ValidateView([]byte(tt.value), []roxy.FieldPath{hidden[tt.topic]})}
		for view, err := range views {
			got := ""
			if v, ok := errors.AsType[*schema.Violations](err); ok {
				got = v.List[0].Pointer + " " + v.List[0].Keyword
			}
			if got != tt.want {
				t.Errorf("%s, %s: %v", name, view, err)
			}
		}
	}
}

func TestTheMenuIsAsItsSchemaSays(t *testing.T) {
	menu, err := bar.Menu()
	if err != nil {
		t.Fatal(err)
	}
	set := schemas(t)
	for _, thing := range menu {
		topic, err := roxy.ParseTopic(thing.Topic)
		if err != nil {
			t.Fatal(err)
		}
		if err := set.Entity(topic).Validate(thing.Data); err != nil {
			t.Errorf("%s: %v", thing.Topic, err)
		}
	}
}
