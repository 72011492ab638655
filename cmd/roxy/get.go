package main

import (
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/roxyhub/roxy"
)

func newGet() *cobra.Command {
	var hub clientFlags
	cmd := &cobra.Command{
		Use:   "get TOPIC|PATTERN",
		Short: "Read an entity, or all that match",
		Long: `get prints entities as they are now, one JSON object a line: topic, version, time and data. A topic that nothing lives
at is an error; a pattern that matches nothing is not. The version is what a guarded change names.`,
		Example: `  roxy get orders/7
  roxy get orders/7 | jq .data
  roxy get 'orders/*' | jq -r 'select(.data.status == "ready") | .topic'`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := hub.open()
			if err != nil {
				return err
			}
			pattern, err := roxy.ParsePattern(args[0])
			if err != nil {
				return err
			}
			if topic, ok := pattern.Topic(); ok {
				e, _, err := c.Entity(cmd.Context(), topic)
				if err != nil {
					return err
				}
				return printEntity(cmd.OutOrStdout(), &e)
			}
			for e, err := range c.Entities(cmd.Context(), pattern) {
				if err != nil {
					return err
				}
				if err := printEntity(cmd.OutOrStdout(), &e); err != nil {
					return err
				}
			}
			return nil
		},
	}
	hub.add(cmd)
	cmd.Flags().SortFlags = false
	return cmd
}

// printedEntity is an entity as a line.
type printedEntity struct {
	Topic   string          `json:"topic"`
	Version uint64          `json:"version"`
	Time    *time.Time      `json:"time,omitempty"` // none of what never was
	Data    json.RawMessage `json:"data"`
}

func printEntity(out io.Writer, e *roxy.Entity) error {
	_, err := fmt.Fprintf(out, "%s\n", entityLine(e))
	return err
}

// entityLine returns e as JSON. Its data is not escaped for HTML: it comes out as it went in.
func entityLine(e *roxy.Entity) []byte {
	p := printedEntity{Topic: e.Topic.String(), Version: e.Version, Data: e.Data}
	if !e.Time.IsZero() {
		p.Time = &e.Time
	}
	return jsonLine(p)
}
