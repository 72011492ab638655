package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/client"
	bar "github.com/roxyhub/roxy/examples/bar"
)

const tables = 20

// openHouse puts the tables and the menu where there are none: what is there from another evening stays as it is.
func openHouse(ctx context.Context, hub string, secret []byte) error {
	c, err := client.New(client.Options{URL: hub, Token: func(context.Context) (string, error) {
		return bar.Token(secret, "house", []string{"manager"}, time.Minute)
	}})
	if err != nil {
		return err
	}
	there := map[roxy.Topic]bool{}
	for _, s := range []string{"products/*", "tables/*"} {
		pattern, err := roxy.ParsePattern(s)
		if err != nil {
			return err
		}
		for entity, err := range c.Entities(ctx, pattern) {
			if err != nil {
				return fmt.Errorf("%s: %w", s, err)
			}
			there[entity.Topic] = true
		}
	}
	menu, err := bar.Menu()
	if err != nil {
		return err
	}
	for number := range tables {
		n := strconv.Itoa(number + 1)
		menu = append(menu, bar.Thing{Topic: "tables/" + n, Data: jsontext.Value(`{"number":` + n + `,"status":"free"}`)})
	}
	var missing []roxy.Mutation
	for _, thing := range menu {
		topic, err := roxy.ParseTopic(thing.Topic)
		if err != nil {
			return err
		}
		if !there[topic] {
			missing = append(missing, roxy.Mutation{Op: roxy.Put, Topic: topic, Data: thing.Data})
		}
	}
	if len(missing) == 0 {
		return nil
	}
	_, err = c.Mutate(ctx, missing...)
	return err
}
