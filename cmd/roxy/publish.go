package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/client"
)

// publishBatch is how many lines of --ndjson go in one request.
const publishBatch = 200

// maxLine bounds a line of --ndjson; the hub has the last word on an event's size.
const maxLine = 1 << 20

func newPublish() *cobra.Command {
	var (
		hub    clientFlags
		event  eventFlags
		ndjson bool
	)
	cmd := &cobra.Command{
		Use:   "publish [TOPIC [DATA|-]]",
		Short: "Publish an event, or many from standard input",
		Long: `publish posts one event and prints its cursor once it is on the hub's disk. DATA is JSON; - reads it from standard
input; without it the event has none. With --ndjson each line of standard input is an event as POST /v1/events takes it,
and they are published in order. Publishing is repeated with the same idempotency key until the hub has answered.

With --ack the event is critical: any one device that it is for, one of each user, or every device has to confirm it within
--within. Those that have not are given it again, each time after twice as long, and when --attempts deliveries did not
help the hub says so on roxy/dead-letters. roxy receipts CURSOR tells who has it, and who confirmed.`,
		Example: `  roxy publish orders/7 '{"table":7}' --type order:new
  roxy publish calls/3 --role waiter --urgent
  roxy publish orders/7 '{"allergy":"nuts"}' --role kitchen --ack any --within 10s
  roxy publish --ndjson < evening.ndjson`,
		Args: cobra.MaximumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := hub.open()
			if err != nil {
				return err
			}
			if ndjson {
				if len(args) > 0 {
					return errors.New("--ndjson takes topics and data from standard input: leave out the arguments")
				}
				return publishLines(cmd, c)
			}
			if len(args) == 0 {
				return errors.New("publish what? Name a topic: roxy publish orders/7 '{\"table\":7}'")
			}
			e, err := event.event(cmd.InOrStdin(), args)
			if err != nil {
				return err
			}
			published, err := c.Publish(cmd.Context(), e)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), published[0].Cursor)
			return err
		},
	}
	hub.add(cmd)
	event.add(cmd)
	cmd.Flags().BoolVar(&ndjson, "ndjson", false, "read one event a line from standard input")
	cmd.Flags().SortFlags = false
	return cmd
}

// eventFlags are the members of one event.
type eventFlags struct {
	kind, id, correlation string
	roles, users          []string
	ttl, within           time.Duration
	ack                   string
	attempts              int
	ephemeral, urgent     bool
}

func (f *eventFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.kind, "type", "", "the event's type (default message)")
	flags.StringSliceVar(&f.roles, "role", nil, "for these roles only")
	flags.StringSliceVar(&f.users, "user", nil, "for these users only")
	flags.StringVar(&f.id, "id", "", "idempotency key (default a random one)")
	flags.StringVar(&f.correlation, "correlation", "", "what groups related events")
	flags.DurationVar(&f.ttl, "ttl", 0, "not delivered after this")
	flags.BoolVar(&f.ephemeral, "ephemeral", false, "not logged: for who listens now")
	flags.BoolVar(&f.urgent, "urgent", false, "flushed first")
	flags.StringVar(&f.ack, "ack", "", "critical: `WHO` must confirm, any, user or device")
	flags.DurationVar(&f.within, "within", 0, "with --ack, how long until it is delivered again (default "+roxy.DefaultAckWithin.String()+")")
	flags.IntVar(&f.attempts, "attempts", 0, fmt.Sprintf("with --ack, deliveries in all (default %d)", roxy.DefaultAckAttempts))
}

func (f *eventFlags) event(stdin io.Reader, args []string) (roxy.Event, error) {
	topic, err := roxy.ParseTopic(args[0])
	if err != nil {
		return roxy.Event{}, err
	}
	to, err := roxy.NewAudience(f.roles, f.users)
	if err != nil {
		return roxy.Event{}, err
	}
	e := roxy.Event{
		Topic: topic, Type: f.kind, ID: f.id, Correlation: f.correlation, TTL: f.ttl, To: to, Ephemeral: f.ephemeral, Urgent: f.urgent,
	}
	switch {
	case f.ack != "":
		e.Ack = &roxy.Ack{By: roxy.AckBy(f.ack), Within: f.within, Attempts: f.attempts}
	case f.within != 0, f.attempts != 0:
		return e, errors.New("--within and --attempts say how a critical event is delivered: add --ack any, user or device")
	}
	if len(args) == 2 {
		e.Data = []byte(args[1])
		if args[1] == "-" {
			if e.Data, err = io.ReadAll(stdin); err != nil {
				return e, err
			}
		}
		if !json.Valid(e.Data) {
			return e, fmt.Errorf("DATA is not JSON: text goes in quotes, as in '\"two beers\"'")
		}
	}
	return e, nil
}

// line is an event as POST /v1/events takes it.
type line struct {
	Topic       string          `json:"topic"`
	Type        string          `json:"type"`
	Data        json.RawMessage `json:"data"`
	To          struct{ Roles, Users []string }
	ID          string `json:"id"`
	TTL         string `json:"ttl"`
	Correlation string `json:"correlation"`
	Except      string `json:"except"`
	Ephemeral   bool   `json:"ephemeral"`
	Urgent      bool   `json:"urgent"`
	Ack         *struct {
		By       roxy.AckBy `json:"by"`
		Within   string     `json:"within"`
		Attempts int        `json:"attempts"`
	} `json:"ack"`
}

// parseLine reads a line, which holds one event and nothing behind it: what is there would be lost without a word.
func parseLine(text []byte) (roxy.Event, error) {
	var l line
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&l); err != nil {
		return roxy.Event{}, err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return roxy.Event{}, errors.New("there is more behind the event: write one event a line")
	}
	return l.event()
}

func (l line) event() (e roxy.Event, err error) {
	e = roxy.Event{
		Type: l.Type, Data: l.Data, ID: l.ID, Correlation: l.Correlation, Except: l.Except, Ephemeral: l.Ephemeral, Urgent: l.Urgent,
	}
	if e.Topic, err = roxy.ParseTopic(l.Topic); err != nil {
		return e, err
	}
	if l.TTL != "" {
		if e.TTL, err = time.ParseDuration(l.TTL); err != nil {
			return e, fmt.Errorf("ttl: %w", err)
		}
	}
	if l.Ack != nil {
		e.Ack = &roxy.Ack{By: l.Ack.By, Attempts: l.Ack.Attempts}
		if l.Ack.Within != "" {
			if e.Ack.Within, err = time.ParseDuration(l.Ack.Within); err != nil {
				return e, fmt.Errorf("ack.within: %w", err)
			}
		}
	}
	e.To, err = roxy.NewAudience(l.To.Roles, l.To.Users)
	return e, err
}

// publishLines publishes standard input, telling how far it is.
func publishLines(cmd *cobra.Command, c *client.Client) error {
	lines := bufio.NewScanner(cmd.InOrStdin())
	lines.Buffer(nil, maxLine)
	var batch []roxy.Event
	n, first, done := 0, 1, 0 // lines read, the first of the batch, events published
	progress := newProgress(os.Stderr)
	flush := func() error {
		if len(batch) == 0 {
			return nil
		}
		if _, err := c.Publish(cmd.Context(), batch...); err != nil {
			return fmt.Errorf("lines %d–%d: %w (%d events before them were published)", first, n, err, done)
		}
		done, first, batch = done+len(batch), n+1, batch[:0]
		progress.show("%d events published", done)
		return nil
	}
	for lines.Scan() {
		n++
		if len(bytes.TrimSpace(lines.Bytes())) == 0 {
			continue
		}
		e, err := parseLine(lines.Bytes())
		if err != nil {
			return fmt.Errorf("line %d: %w (%d events before it were published)", n, err, done)
		}
		if batch = append(batch, e); len(batch) == publishBatch {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("line %d: %w", n+1, err)
	}
	if err := flush(); err != nil {
		return err
	}
	progress.done()
	_, err := fmt.Fprintf(cmd.OutOrStdout(), "%d events published\n", done)
	return err
}
