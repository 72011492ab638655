package main

import (
	"bytes"
	"cmp"
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
		device       string
		confirm      bool
		snapshot     bool
		asJSON       bool
	)
	cmd := &cobra.Command{
		Use:   "tail PATTERN…",
		Short: "Follow events",
		Long: `tail prints events as they come and reconnects by itself, without hole or repeat. * in a pattern stands for one
segment of a topic, a last ** for all below. With --cursor-file it goes on where it stopped the last time: the file is
written after each event was printed.

With --snapshot the entities that match come first, as they are at one moment, and then what changes them: each change
says its version, and has the merge patch (RFC 7396) from the version before. When a snapshot cannot be finished, or much
was missed, it begins anew, and what was printed of it is void: --json says so by {"snapshot":true}, and {"live":true}
behind its end.

The pattern roxy/presence, for who may read that, tells who is present, and from then on who joins and who leaves.

With --device it is a durable subscriber: the hub keeps what waits for it, by default 1,000 events and 24 hours, and goes on
where the device was, whatever machine it runs on now. Critical events (roxy publish --ack) come again until the device
confirms them, which --ack does once each was printed. Whoever published hears of it: their roxy tail prints who confirmed,
and what nobody did.`,
		Example: `  roxy tail 'orders/*' 'tables/**'
  roxy tail '**' --after earliest --json | jq .data
  roxy tail 'tables/*' --snapshot
  roxy tail roxy/presence
  roxy tail 'orders/*' --cursor-file orders.cursor --json >> orders.ndjson
  roxy tail 'orders/*' --device kitchen-1 --ack`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := hub.open()
			if err != nil {
				return err
			}
			if confirm && device == "" {
				return errors.New("--ack confirms as a device: name it with --device")
			}
			sub := client.Subscription{
				Types: types, Snapshot: snapshot, Device: device, Confirm: confirm,
				OnState: func(s client.State) { tellState(cmd.ErrOrStderr(), s) },
			}
			if sub.Patterns, err = patterns("PATTERN", args); err != nil {
				return err
			}
			if err := startAt(&sub, after, state); err != nil {
				return err
			}
			return follow(cmd.Context(), c, sub, &printer{out: cmd.OutOrStdout(), notes: cmd.ErrOrStderr(), json: asJSON, snapshot: snapshot, state: state})
		},
	}
	hub.add(cmd)
	f := cmd.Flags()
	f.StringSliceVar(&types, "type", nil, "only events of these types")
	f.StringVar(&after, "after", "", "begin behind this `CURSOR`, or with earliest: all that is retained")
	f.BoolVar(&snapshot, "snapshot", false, "begin with the entities that match, as they are")
	f.StringVar(&device, "device", "", "be this durable subscriber, a `NAME` of your own")
	f.BoolVar(&confirm, "ack", false, "confirm critical events for the device once they were printed")
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
	snapshot   bool
	state      string
}

// printed is a message as a line of --json.
type printed struct {
	Reset       string          `json:"reset,omitempty"`    // why
	Snapshot    bool            `json:"snapshot,omitempty"` // begins: what was kept of entities is void
	Live        bool            `json:"live,omitempty"`     // it has ended
	Receipt     roxy.Outcome    `json:"receipt,omitempty"`  // of Mutation
	News        string          `json:"news,omitempty"`     // of the critical event at Ack
	Reason      string          `json:"reason,omitempty"`   // of news that it is unacked
	Device      string          `json:"device,omitempty"`
	Cursor      string          `json:"cursor,omitempty"`
	Topic       string          `json:"topic,omitempty"`
	Type        string          `json:"type,omitempty"`
	Time        *time.Time      `json:"time,omitempty"`
	By          string          `json:"by,omitempty"`
	Correlation string          `json:"correlation,omitempty"`
	Op          roxy.Op         `json:"op,omitempty"` // of an entity's commit
	Version     uint64          `json:"version,omitempty"`
	Patch       json.RawMessage `json:"patch,omitempty"`
	Mutation    string          `json:"mutation,omitempty"`
	Problem     string          `json:"problem,omitempty"`
	Ack         string          `json:"ack,omitempty"` // what confirms a critical event
	Attempt     int             `json:"attempt,omitempty"`
	Presence    *presentLine    `json:"presence,omitempty"`
	Data        json.RawMessage `json:"data,omitempty"`
}

func (p *printer) print(message client.Message) error {
	switch m := message.(type) {
	case client.Event:
		if err := p.event(m); err != nil {
			return err
		}
		return p.keep(m.Cursor)
	case client.Snapshot:
		if p.json {
			return p.line(printed{Snapshot: true})
		}
		_, _ = fmt.Fprintln(p.notes, "roxy: what there is:")
	case client.Entity:
		return p.entity(&m.Entity)
	case client.Receipt:
		return p.receipt(m)
	case client.AckNews:
		return p.news(m)
	case client.Presence:
		return p.presence(m)
	case client.Reset:
		return cmp.Or(p.reset(m), p.keep(m.Cursor))
	case client.Live:
		if p.snapshot {
			if err := p.live(m); err != nil {
				return err
			}
		}
		return p.keep(m.Cursor)
	}
	return nil
}

func (p *printer) reset(m client.Reset) error {
	where := printed{Reset: m.Reason}
	goingOn := "all of it comes anew"
	if m.Cursor.Epoch != "" {
		where.Cursor = m.Cursor.String()
		goingOn = "going on at " + where.Cursor
	}
	if p.json {
		return p.line(where)
	}
	_, _ = fmt.Fprintf(p.notes, "roxy: events were missed (%s): what you keep from them is out of date; %s\n", m.Reason, goingOn)
	return nil
}

func (p *printer) live(m client.Live) error {
	if p.json {
		return p.line(printed{Live: true, Cursor: m.Cursor.String()})
	}
	_, _ = fmt.Fprintf(p.notes, "roxy: that is all, as of %s\n", m.Cursor)
	return nil
}

func (p *printer) entity(e *roxy.Entity) error {
	if p.json {
		return p.line(printed{Topic: e.Topic.String(), Type: "roxy:entity", Time: &e.Time, Version: e.Version, Data: e.Data})
	}
	return p.row(e.Time, e.Topic, "entity", fmt.Sprintf("version %d %s", e.Version, e.Data))
}

func (p *printer) receipt(r client.Receipt) error {
	problem := ""
	if r.Problem != nil {
		problem = r.Problem.Error()
	}
	if p.json {
		return p.line(printed{Receipt: r.Outcome, Mutation: r.ID, Topic: r.Topic.String(), Version: r.Version, Problem: problem})
	}
	_, _ = fmt.Fprintf(p.notes, "roxy: mutation %s of %s: %s %s\n", r.ID, r.Topic, r.Outcome, problem)
	return nil
}

// news tells what became of a critical event of one's own.
func (p *printer) news(n client.AckNews) error {
	what := cmp.Or(n.Status, string(n.Settled))
	if p.json {
		return p.line(printed{News: what, Ack: n.ID.String(), Correlation: n.Correlation, Reason: string(n.Reason), Device: n.Device, By: n.User, Time: &n.Time})
	}
	switch {
	case n.Device != "":
		what += fmt.Sprintf(" by %s (%s)", n.Device, n.User)
		if n.Status == "delivered" {
			what = fmt.Sprintf("delivered to %s (%s)", n.Device, n.User)
		}
	case n.Reason != "":
		what += fmt.Sprintf(" (%s)", n.Reason)
	}
	_, _ = fmt.Fprintf(p.notes, "roxy: critical event %s: %s\n", n.ID, what)
	return nil
}

func (p *printer) event(e client.Event) error {
	line := printed{Topic: e.Topic.String(), Type: e.Type, Time: &e.Time, By: e.By, Correlation: e.Correlation, Data: e.Data}
	text := string(e.Data)
	if e.Cursor.Epoch != "" {
		line.Cursor = e.Cursor.String()
	}
	if c := e.Change; c != nil {
		line.Op, line.Version, line.Patch, line.Mutation = c.Op, c.Version, c.Patch, c.Mutation
		if c.Patch == nil && c.Op != roxy.Delete {
			line.Patch = []byte("{}")
		}
		text = strings.TrimSpace(fmt.Sprintf("version %d %s %s", c.Version, c.Op, line.Patch))
	}
	if e.Ack != nil {
		line.Ack, line.Attempt = e.AckID.String(), e.Attempt
		text += fmt.Sprintf(" (critical %s, attempt %d)", e.AckID, e.Attempt)
	}
	if p.json {
		return p.line(line)
	}
	return p.row(e.Time, e.Topic, e.Type, text)
}

// row prints one line for people.
func (p *printer) row(at time.Time, topic roxy.Topic, kind, text string) error {
	_, err := fmt.Fprintf(p.out, "%s  %-24s %-20s %s\n", at.Local().Format("15:04:05.000"), topic, kind, text)
	return err
}

func (p *printer) line(v printed) error {
	_, err := fmt.Fprintf(p.out, "%s\n", jsonLine(v))
	return err
}

// jsonLine returns v as JSON; nothing is escaped for HTML, so that data comes out as it went in.
func jsonLine(v any) []byte {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		panic("BUG: what was checked does not encode: " + err.Error())
	}
	return bytes.TrimSuffix(text.Bytes(), []byte("\n"))
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
