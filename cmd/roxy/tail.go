package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/client"
)

func newTail() *cobra.Command {
	var (
		hub          clientFlags
		types        []string
		after, state string
		asJSON       bool
	)
	cmd := &cobra.Command{
		Use:   "tail PATTERN…",
		Short: "Follow events",
		Long: `tail prints events as they come and reconnects by itself, without hole or repeat. * in a pattern stands for one
segment of a topic, a last ** for all below. With --cursor-file it goes on where it stopped the last time: the file is
written after each event was printed.`,
		Example: `  roxy tail 'orders/*' 'tables/**'
  roxy tail '**' --after earliest --json | jq .data
  roxy tail 'orders/*' --cursor-file orders.cursor --json >> orders.ndjson`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := hub.open()
			if err != nil {
				return err
			}
			sub := client.Subscription{Types: types, OnState: func(s client.State) { tellState(cmd.ErrOrStderr(), s) }}
			if sub.Patterns, err = patterns("PATTERN", args); err != nil {
				return err
			}
			if err := startAt(&sub, after, state); err != nil {
				return err
			}
			return follow(cmd.Context(), c, sub, &printer{out: cmd.OutOrStdout(), notes: cmd.ErrOrStderr(), json: asJSON, state: state})
		},
	}
	hub.add(cmd)
	f := cmd.Flags()
	f.StringSliceVar(&types, "type", nil, "only events of these types")
	f.StringVar(&after, "after", "", "begin behind this `CURSOR`, or with earliest: all that is retained")
	f.StringVar(&state, "cursor-file", "", "`FILE` to keep the position in")
	f.BoolVar(&asJSON, "json", false, "one JSON object a line, resets included")
	f.SortFlags = false
	return cmd
}

// startAt sets where sub begins: the kept position, when there is one, before the flag.
func startAt(sub *client.Subscription, after, state string) error {
	if state != "" {
		text, err := os.ReadFile(state) //nolint:gosec // named by who runs the command
		switch {
		case err == nil && strings.TrimSpace(string(text)) != "": // mktemp leaves an empty one
			after = strings.TrimSpace(string(text))
		case err != nil && !errors.Is(err, fs.ErrNotExist):
			return err
		}
	}
	if after == "earliest" {
		sub.Earliest = true
	} else if after != "" {
		c, err := roxy.ParseCursor(after)
		if err != nil {
			return fmt.Errorf("where to begin: %w", err)
		}
		sub.After = &c
	}
	return nil
}

func follow(ctx context.Context, c *client.Client, sub client.Subscription, p *printer) error {
	for message, err := range c.Subscribe(ctx, sub) {
		if err != nil {
			if ctx.Err() != nil {
				return nil // Ctrl-C is how it ends
			}
			return err
		}
		if err := p.print(message); err != nil {
			return err
		}
	}
	return nil
}

func tellState(out io.Writer, s client.State) {
	if s.Phase == client.Waiting && s.Err != nil {
		_, _ = fmt.Fprintf(out, "roxy: %s; again in %s\n", describe(s.Err), s.Retry.Round(10*time.Millisecond))
	}
}

// printer writes messages for people or for programs.
type printer struct {
	out, notes io.Writer
	json       bool
	state      string
}

// printed is a message as a line of --json.
type printed struct {
	Reset       string          `json:"reset,omitempty"`
	Cursor      string          `json:"cursor,omitempty"`
	Topic       string          `json:"topic,omitempty"`
	Type        string          `json:"type,omitempty"`
	Time        *time.Time      `json:"time,omitempty"`
	By          string          `json:"by,omitempty"`
	Correlation string          `json:"correlation,omitempty"`
	Data        json.RawMessage `json:"data,omitempty"`
}

func (p *printer) print(message client.Message) error {
	switch m := message.(type) {
	case client.Event:
		if err := p.event(m); err != nil {
			return err
		}
		return p.keep(m.Cursor)
	case client.Reset:
		if p.json {
			if err := p.line(printed{Reset: m.Reason, Cursor: m.Cursor.String()}); err != nil {
				return err
			}
		} else {
			_, _ = fmt.Fprintf(p.notes, "roxy: events were missed (%s): what you keep from them is out of date; going on at %s\n", m.Reason, m.Cursor)
		}
		return p.keep(m.Cursor)
	case client.Live:
		return p.keep(m.Cursor)
	}
	return nil
}

func (p *printer) event(e client.Event) error {
	cursor := ""
	if e.Cursor.Epoch != "" {
		cursor = e.Cursor.String()
	}
	if p.json {
		return p.line(printed{
			Cursor: cursor, Topic: e.Topic.String(), Type: e.Type, Time: &e.Time, By: e.By, Correlation: e.Correlation, Data: e.Data,
		})
	}
	_, err := fmt.Fprintf(p.out, "%s  %-24s %-20s %s\n", e.Time.Local().Format("15:04:05.000"), e.Topic, e.Type, e.Data)
	return err
}

func (p *printer) line(v printed) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(p.out, "%s\n", text)
	return err
}

// keep writes the position so that it is never half there.
func (p *printer) keep(c roxy.Cursor) error {
	if p.state == "" || c.Epoch == "" {
		return nil
	}
	if err := os.WriteFile(p.state+".new", []byte(c.String()+"\n"), 0o600); err != nil {
		return err
	}
	return os.Rename(p.state+".new", p.state)
}
