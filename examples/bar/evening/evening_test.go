package main

import (
	"bytes"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"

	bar "github.com/roxyhub/roxy/examples/bar"
)

func TestTheCommittedEveningIsThatOfTheSeed(t *testing.T) {
	committed, err := os.ReadFile("../evening.ndjson")
	if err != nil {
		t.Fatal(err)
	}
	var fresh bytes.Buffer
	if err := write(&fresh, defaultSeed); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(committed, fresh.Bytes()) {
		t.Fatal("evening.ndjson is not what the generator writes; run: go run ./examples/bar/evening > examples/bar/evening.ndjson")
	}
	const most = 2 << 20
	if len(committed) > most {
		t.Errorf("evening.ndjson takes %d bytes, at most %d", len(committed), most)
	}
	turns, err := bar.Read(&fresh)
	if err != nil {
		t.Fatal(err)
	}
	if len(turns) < 4000 {
		t.Errorf("%d events make no busy evening", len(turns))
	}
}

// Whatever the seed, what is said makes sense in its order.
func TestEveryEveningHasItsCausesBeforeItsEffects(t *testing.T) {
	may := map[string][]string{ // what may be said of one order, table … after what; "" is the beginning
		"order:new":           {""},
		"order:updated":       {"order:new", "order:updated", "order:ready", "order:served"},
		"order:cancelled":     {"order:new"},
		"order:ready":         {"order:updated"},
		"order:served":        {"order:ready", "order:updated"},
		"table:seated":        {"", "table:cleared", "table:moved"},
		"table:moved":         {"table:seated", "table:merged", "table:cleared", "table:moved", ""},
		"table:merged":        {"table:seated", "table:merged", "table:cleared", "table:moved", ""},
		"table:cleared":       {"table:seated", "table:merged", "table:cleared", "table:moved", ""},
		"product:unavailable": {"", "product:available"},
		"product:available":   {"product:unavailable"},
		"payment:requested":   {""},
		"payment:taken":       {"payment:requested"},
		"receipt:issued":      {""},
		"shift:started":       {""},
		"shift:break":         {"shift:started"},
		"shift:resumed":       {"shift:break"},
		"shift:ended":         {"shift:resumed"},
	}
	for seed := range uint64(20) {
		last, soldOut := map[string]string{}, map[string]bool{}
		for _, turn := range simulate(seed) {
			topic, typ := turn.Event.Topic.String(), turn.Event.Type
			if before, ok := may[typ]; ok && !slices.Contains(before, last[topic]) {
				t.Fatalf("seed %d: %s on %s follows %q", seed, typ, topic, last[topic])
			}
			last[topic] = typ
			switch typ {
			case "product:unavailable", "product:available":
				soldOut[strings.TrimPrefix(topic, "products/")] = typ == "product:unavailable"
			case "order:new":
				var order struct {
					Items []item `json:"items"`
				}
				if err := json.Unmarshal(turn.Event.Data, &order); err != nil || len(order.Items) == 0 {
					t.Fatalf("seed %d: %s: %s, %v", seed, topic, turn.Event.Data, err)
				}
				for _, i := range order.Items {
					if soldOut[i.Product] {
						t.Fatalf("seed %d: %s orders %s, which is sold out", seed, topic, i.Product)
					}
				}
			}
		}
		for topic, typ := range last {
			if strings.HasPrefix(topic, "orders/") && typ != "order:served" && typ != "order:cancelled" && typ != "order:updated" {
				t.Errorf("seed %d: %s ends with %s", seed, topic, typ)
			}
		}
	}
}
