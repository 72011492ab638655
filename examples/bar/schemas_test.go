package bar_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/roxyhub/roxy"
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

// What is wrong with an order, as each role would be told of it.
func TestAnOrderIsCheckedAsItsWriterSeesIt(t *testing.T) {
	topic, err := roxy.ParseTopic("orders/1001")
	if err != nil {
		t.Fatal(err)
	}
	order := schemas(t).Entity(topic)
	var waiter []roxy.FieldPath // what a waiter does not see
	for _, p := range []string{"lines.*.cost", "margin", "customer.phone"} {
		path, err := roxy.ParseFieldPath(p)
		if err != nil {
			t.Fatal(err)
		}
		waiter = append(waiter, path)
	}
	good := `{"table":7,"waiter":"waiter-3","status":"new","guests":2,"total":750,"lines":{"a":{"product":"espresso","quantity":3,"status":"new","price":250}}}`
	for name, tt := range map[string]struct{ value, want string }{
		"good":                {good, ""},
		"a table too many":    {strings.Replace(good, "7", "21", 1), "/table maximum"},
		"a price in euros":    {strings.Replace(good, ":250", ":2.5", 1), "/lines/a/price type"},
		"a line without":      {strings.Replace(good, `"price":250`, `"note":"no sugar"`, 1), "/lines/a required"},
		"a misspelt member":   {strings.Replace(good, "guests", "gusts", 1), "/gusts additionalProperties"},
		"paid without saying": {strings.Replace(good, `"new"`, `"paid"`, 1), " required"},
	} {
		for view, err := range map[string]error{"whole": order.Validate([]byte(tt.value)), "waiter": order.ValidateView([]byte(tt.value), waiter)} {
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
