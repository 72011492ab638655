package main

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/client"
)

func newReceipts() *cobra.Command {
	var hub clientFlags
	cmd := &cobra.Command{
		Use:   "receipts CURSOR",
		Short: "Tell who was given a critical event, and who confirmed it",
		Long: `receipts tells how a critical event stands that you published, or any for an administrator: whether it is settled, and for
each device that it is for when it was written to its connection, when the device said that it has it and when somebody
confirmed it there. CURSOR is what roxy publish printed.`,
		Example: `  roxy receipts $(roxy publish orders/7 '{"allergy":"nuts"}' --ack any)`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := hub.open()
			if err != nil {
				return err
			}
			cursor, err := roxy.ParseCursor(args[0])
			if err != nil {
				return err
			}
			critical, err := c.Receipts(cmd.Context(), cursor)
			if err != nil {
				return err
			}
			return printCritical(cmd.OutOrStdout(), &critical)
		},
	}
	hub.add(cmd)
	cmd.Flags().SortFlags = false
	return cmd
}

func printCritical(out io.Writer, c *client.Critical) error {
	state := fmt.Sprintf("open, attempt %d of %d until %s", c.Attempt, c.Ack.Attempts, clock(c.Due))
	switch c.Settlement {
	case roxy.Acknowledged:
		state = "acknowledged at " + clock(c.Settled)
	case roxy.Unacked:
		state = fmt.Sprintf("unacked at %s (%s)", clock(c.Settled), c.Reason)
	}
	_, _ = fmt.Fprintf(out, "%s %s %s, published at %s by %s, to be confirmed by %s: %s\n", c.ID, c.Topic, c.Type, clock(c.Time), c.By, c.Ack.By, state)
	rows := [][]string{{"DEVICE", "USER", "WRITTEN", "DELIVERED", "CONFIRMED", "ATTEMPTS", "BY"}}
	for _, r := range c.Receipts {
		confirmed := clock(r.Confirmed)
		if r.Late {
			confirmed += " late"
		}
		rows = append(rows, []string{r.Device, r.User, clock(r.Written), clock(r.Delivered), confirmed, fmt.Sprint(r.Attempts), cmp.Or(r.Transport, "–")})
	}
	return table(out, rows)
}

func newDevices() *cobra.Command {
	var hub clientFlags
	cmd := &cobra.Command{
		Use:   "devices",
		Short: "List your devices, or forget one",
		Long: `devices lists the durable subscribers that are yours: what each follows, up to where it has everything, and when the hub
last heard of it. One that was not seen for 30 days is forgotten by itself.`,
		Example: `  roxy devices
  roxy devices forget kitchen-1`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := hub.open()
			if err != nil {
				return err
			}
			devices, err := c.Devices(cmd.Context())
			if err != nil {
				return err
			}
			rows := [][]string{{"DEVICE", "CURSOR", "SEEN", "CONNECTED", "FOLLOWS"}}
			for _, d := range devices {
				var follows []string
				for _, p := range d.Patterns {
					follows = append(follows, p.String())
				}
				rows = append(rows, []string{d.Name, d.Cursor.String(), clock(d.Seen), cmp.Or(d.Transport, "–"), strings.Join(follows, " ")})
			}
			return table(cmd.OutOrStdout(), rows)
		},
	}
	hub.add(cmd)
	cmd.Flags().SortFlags = false
	cmd.AddCommand(newForget())
	return cmd
}

func newForget() *cobra.Command {
	var hub clientFlags
	cmd := &cobra.Command{
		Use:   "forget NAME",
		Short: "Remove a device: the hub keeps nothing for it any more",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := hub.open()
			if err != nil {
				return err
			}
			return c.ForgetDevice(cmd.Context(), args[0])
		},
	}
	hub.add(cmd)
	cmd.Flags().SortFlags = false
	return cmd
}

// clock tells a time to people; – when it never was.
func clock(t time.Time) string {
	if t.IsZero() {
		return "–"
	}
	if time.Since(t) > 12*time.Hour {
		return t.Local().Format("2006-01-02 15:04:05")
	}
	return t.Local().Format("15:04:05.000")
}

func table(out io.Writer, rows [][]string) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		_, _ = fmt.Fprintln(w, strings.Join(row, "\t")) // Flush tells
	}
	return w.Flush()
}
