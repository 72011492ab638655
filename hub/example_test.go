package hub_test

import (
	"bytes"
	"context"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/engine/disk"
	"github.com/roxyhub/roxy/hub"
	"github.com/roxyhub/roxy/transport/sse"
)

// screen is a way out of one's own: it prints the data lines and ends the stream at the first event.
type screen struct{ end func() }

func (s screen) Write(p []byte) error {
	for line := range bytes.Lines(p) {
		if bytes.Contains(line, []byte(`"data":"two beers"`)) {
			fmt.Println("the kitchen hears of two beers")
			s.end()
		}
	}
	return nil
}

func (screen) SetDeadline(time.Time) {}

// A hub inside another program: an engine, the hub over it, an event, and a stream that replays it.
func Example() {
	dir, err := os.MkdirTemp("", "roxy")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	store, err := disk.Open(dir, disk.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = store.Close() }()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	h, err := hub.Start(ctx, store, hub.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = h.Close(context.Background()) }()

	topic, err := roxy.ParseTopic("orders/7")
	if err != nil {
		log.Fatal(err)
	}
	orders, err := roxy.ParsePattern("orders/*")
	if err != nil {
		log.Fatal(err)
	}
	waiter := roxy.Identity{Tenant: "bar", User: "waiter-1", Grant: roxy.Grant{Publish: []roxy.Pattern{orders}}}
	published, err := h.Publish(ctx, waiter, []roxy.Event{{Topic: topic, Type: "order:new", Data: []byte(`"two beers"`)}})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("durable at offset", published[0].Cursor.Offset)

	kitchen := roxy.Identity{Tenant: "bar", User: "kitchen-1", Grant: roxy.Grant{Read: []roxy.Pattern{orders}}}
	err = h.Subscribe(ctx, hub.Subscription{
		Identity: kitchen, Patterns: []roxy.Pattern{orders}, Earliest: true, Heartbeat: 15 * time.Second, Encoding: sse.Encoding{}, Transport: "screen",
	}, screen{end: cancel})
	if err != nil {
		log.Fatal(err)
	}
	// Output:
	// durable at offset 1
	// the kitchen hears of two beers
}
