package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/client"
)

func ExampleClient_Publish() {
	url, stop := evening() // the hub; yours is at a fixed address
	defer stop()
	c, err := client.New(client.Options{
		URL:   url,
		Token: func(context.Context) (string, error) { return "…", nil }, // from a file, or from whoever issues it
	})
	if err != nil {
		panic(err)
	}
	topic, err := roxy.ParseTopic("orders/42")
	if err != nil {
		panic(err)
	}
	results, err := c.Publish(context.Background(), roxy.Event{
		Topic: topic,
		Type:  "order:new",
		ID:    "order-42-new", // whoever runs this again, even after a crash, does not order twice
		Data:  []byte(`{"table":7,"items":["spritz","olives"]}`),
	})
	if err != nil {
		panic(err)
	}
	fmt.Println(results[0].ID, "is durable at", results[0].Cursor)
	// Output: order-42-new is durable at k3x9.7
}

func ExampleClient_Subscribe() {
	url, stop := evening()
	defer stop()
	c, err := client.New(client.Options{URL: url})
	if err != nil {
		panic(err)
	}
	orders, err := roxy.ParsePattern("orders/*")
	if err != nil {
		panic(err)
	}
	for message, err := range c.Subscribe(context.Background(), client.Subscription{Patterns: []roxy.Pattern{orders}, Earliest: true}) {
		if err != nil {
			panic(err) // an identity or a grant that is missing, or the end of the context; never a cut link
		}
		switch m := message.(type) {
		case client.Event:
			fmt.Printf("%s %s %s\n", m.Type, m.Topic, m.Data)
		case client.Reset:
			fmt.Println("fetch everything anew:", m.Reason)
		case client.Live:
			fmt.Println("caught up at", m.Cursor)
			return
		}
	}
	// Output:
	// order:new orders/42 {"table":7}
	// caught up at k3x9.7
}

func ExampleClient_Confirm() {
	url, stop := evening()
	defer stop()
	c, err := client.New(client.Options{URL: url})
	if err != nil {
		panic(err)
	}
	orders, err := roxy.ParsePattern("orders/*")
	if err != nil {
		panic(err)
	}
	ctx := context.Background()
	kitchen := client.Subscription{Patterns: []roxy.Pattern{orders}, Device: "kitchen-1"} // goes on where kitchen-1 was
	for message, err := range c.Subscribe(ctx, kitchen) {
		if err != nil {
			panic(err) // also client.ErrReplaced: somebody else is kitchen-1 now
		}
		switch m := message.(type) {
		case client.Event:
			fmt.Printf("%s %s\n", m.Topic, m.Data)
			if m.Ack == nil {
				continue
			}
			status, err := c.Confirm(ctx, m) // when somebody has pressed the button
			if err != nil {
				panic(err)
			}
			fmt.Printf("delivery %d: %s\n", m.Attempt, status)
		case client.Live:
			return
		}
	}
	// Output:
	// orders/42 {"allergy":"nuts"}
	// delivery 2: confirmed
}

func ExampleClient_Mutate() {
	url, stop := evening()
	defer stop()
	c, err := client.New(client.Options{URL: url})
	if err != nil {
		panic(err)
	}
	topic, err := roxy.ParseTopic("orders/42")
	if err != nil {
		panic(err)
	}
	// The waiter saw version 3. Whoever changed other fields meanwhile is no obstacle.
	change := roxy.Mutation{Op: roxy.Patch, Topic: topic, Data: []byte(`{"status":"ready"}`), Guard: roxy.GuardFields, Base: 3}
	results, err := c.Mutate(context.Background(), change)
	if problem, ok := errors.AsType[*roxy.Problem](err); ok && problem.Conflict != nil {
		fmt.Println("somebody else changed", problem.Conflict.Fields)
		fmt.Printf("it is at version %d: %s\n", problem.Conflict.Current.Version, problem.Conflict.Current.Data)
		return // ask the waiter, and send it again with the new version
	}
	if err != nil {
		panic(err)
	}
	fmt.Println("durable at version", results[0].Version)
	// Output:
	// somebody else changed [status]
	// it is at version 4: {"status":"cancelled","table":7}
}

func ExampleReplica() {
	url, stop := evening()
	defer stop()
	c, err := client.New(client.Options{URL: url})
	if err != nil {
		panic(err)
	}
	orders, err := roxy.ParsePattern("orders/*")
	if err != nil {
		panic(err)
	}
	ctx := context.Background()
	replica := client.NewReplica(c)
	for message, err := range c.Subscribe(ctx, client.Subscription{Patterns: []roxy.Pattern{orders}, Snapshot: true}) {
		if err != nil {
			panic(err)
		}
		if err := replica.Take(ctx, message); err != nil {
			panic(err)
		}
		if !replica.Live() {
			continue // a part of a snapshot is nothing to show
		}
		for order := range replica.Entities() {
			fmt.Printf("%s is at version %d: %s\n", order.Topic, order.Version, order.Data)
		}
		if _, changed := message.(client.Event); changed {
			return
		}
	}
	// Output:
	// orders/41 is at version 1: {"table":2}
	// orders/42 is at version 3: {"status":"new","table":7}
	// orders/41 is at version 1: {"table":2}
	// orders/42 is at version 4: {"status":"cancelled","table":7}
}

// evening is a hub of two events, and of two entities, so that the examples run anywhere.
func evening() (url string, stop func()) {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/events", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"epoch":"k3x9","events":[{"id":"order-42-new","offset":7,"cursor":"k3x9.7","duplicate":false}]}`)
	})
	mux.HandleFunc("POST /v1/mutations", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(http.StatusConflict)
		_, _ = io.WriteString(w, `{"code":"version-conflict","fields":["status"],"current":{"topic":"orders/42","version":4,"data":{"status":"cancelled","table":7},"time":"2026-11-23T20:00:00Z"}}`)
	})
	mux.HandleFunc("POST /v1/acks", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"device":"kitchen-1","cursor":"k3x9.7","results":[{"id":"k3x9.5","status":"confirmed"}]}`)
	})
	mux.HandleFunc("GET /v1/stream", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		if r.URL.Query().Has("snapshot") {
			_, _ = io.WriteString(w, "event: roxy:hello\ndata: {\"connection\":\"c1\",\"view\":\"v1\",\"epoch\":\"k3x9\",\"heartbeat\":\"15s\"}\n\n"+
				"event: roxy:entity\ndata: {\"topic\":\"orders/41\",\"version\":1,\"time\":\"2026-11-23T20:00:00Z\",\"data\":{\"table\":2}}\n\n"+
				"event: roxy:entity\ndata: {\"topic\":\"orders/42\",\"version\":3,\"time\":\"2026-11-23T20:00:00Z\",\"data\":{\"status\":\"new\",\"table\":7}}\n\n"+
				"id: k3x9.7\nevent: roxy:live\ndata: {\"cursor\":\"k3x9.7\",\"replayed\":0,\"entities\":2}\n\n"+
				"id: k3x9.8\nevent: entity:updated\ndata: {\"topic\":\"orders/42\",\"time\":\"2026-11-23T20:00:00Z\",\"by\":\"u7\",\"op\":\"patch\",\"version\":4,\"base\":3,\"patch\":{\"status\":\"cancelled\"}}\n\n")
			return
		}
		if r.URL.Query().Has("device") {
			_, _ = io.WriteString(w, "id: k3x9.7\nevent: roxy:hello\ndata: {\"connection\":\"c1\",\"cursor\":\"k3x9.7\",\"epoch\":\"k3x9\",\"heartbeat\":\"15s\"}\n\n"+
				"event: order:allergy\ndata: {\"topic\":\"orders/42\",\"time\":\"2026-11-23T20:00:00Z\",\"by\":\"u7\",\"ack\":{\"id\":\"k3x9.5\",\"by\":\"any\"},\"attempt\":2,\"data\":{\"allergy\":\"nuts\"}}\n\n"+
				"id: k3x9.7\nevent: roxy:live\ndata: {\"cursor\":\"k3x9.7\",\"replayed\":0}\n\n")
			return
		}
		_, _ = io.WriteString(w, "id: k3x9.6\nevent: roxy:hello\ndata: {\"connection\":\"c1\",\"cursor\":\"k3x9.6\",\"epoch\":\"k3x9\",\"heartbeat\":\"15s\"}\n\n"+
			"id: k3x9.7\nevent: order:new\ndata: {\"topic\":\"orders/42\",\"time\":\"2026-11-23T20:00:00Z\",\"by\":\"u7\",\"data\":{\"table\":7}}\n\n"+
			"id: k3x9.7\nevent: roxy:live\ndata: {\"cursor\":\"k3x9.7\",\"replayed\":1}\n\n")
	})
	s := httptest.NewServer(mux)
	return s.URL, s.Close
}
