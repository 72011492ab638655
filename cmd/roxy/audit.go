package main

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/roxyhub/roxy"
)

// auditRows is how many rows people are shown unless they say.
const auditRows = 100

func newAudit() *cobra.Command {
	var (
		hub      operator
		from, to string
		filters  = make(map[string]*string)
		kinds    []string
		limit    int
		asJSON   bool
	)
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "Show who did what",
		Long: `audit shows the rows of the tenant's audit trail that satisfy all flags, the oldest first: of many the newest 100, or as many
as --limit says. With --json it writes all of them as lines of JSON. When nothing but --from and --to selects, roxy check
--audit can verify what it wrote.

The token is that of an administrator, the URL that of the operator's listener. That somebody looked is noted, too.`,
		Example: `  roxy audit --from 1h --kind refusal --kind disconnect
  roxy audit --correlation table-12          # the whole story of one correlation
  roxy audit --user anna --topic 'orders/**'
  roxy audit --json > audit.ndjson && roxy check audit.ndjson --audit`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			query := url.Values{}
			for name, value := range filters {
				if *value != "" {
					query.Set(name, *value)
				}
			}
			if len(kinds) > 0 {
				query["kind"] = kinds
			}
			for name, text := range map[string]string{"from": from, "to": to} {
				at, err := moment(text, time.Now())
				if err != nil {
					return fmt.Errorf("--%s: %w", name, err)
				}
				if !at.IsZero() {
					query.Set(name, at.Format(time.RFC3339Nano))
				}
			}
			if !asJSON {
				query.Set("order", "desc")
				query.Set("limit", strconv.Itoa(auditRows))
			}
			if cmd.Flags().Changed("limit") {
				query.Set("limit", strconv.Itoa(limit))
			}
			hub.accept = "application/x-ndjson"
			resp, err := hub.open(cmd.Context(), http.MethodGet, "/v1/admin/audit?"+query.Encode(), "", nil)
			if err != nil {
				return err
			}
			defer func() { _ = resp.Body.Close() }()
			if asJSON {
				_, err = io.Copy(cmd.OutOrStdout(), resp.Body)
				return err
			}
			return showAudit(cmd.OutOrStdout(), resp.Body)
		},
	}
	hub.add(cmd, "admin")
	f := cmd.Flags()
	f.StringVar(&from, "from", "", "only rows from this `TIME` on: 2026-11-23T18:00:00Z, or 1h for an hour ago")
	f.StringVar(&to, "to", "", "only rows before this `TIME`")
	for _, flag := range [...]struct{ name, usage string }{
		{"user", "only what this `USER` did"},
		{"device", "only of this `DEVICE`"},
		{"topic", "only of topics that match this `PATTERN`"},
		{"correlation", "only of this `CORRELATION`"},
		{"event", "only about the event at this `CURSOR`"},
	} {
		filters[flag.name] = f.String(flag.name, "", flag.usage)
	}
	f.StringSliceVar(&kinds, "kind", nil, "only these kinds, such as publish, refusal, disconnect, ack, admin")
	f.IntVar(&limit, "limit", auditRows, "at most so many `ROWS`")
	f.BoolVar(&asJSON, "json", false, "lines of JSON with their hashes")
	f.SortFlags = false
	return cmd
}

// moment reads a time, or how long ago it was; "" is none.
func moment(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if ago, err := time.ParseDuration(text); err == nil && ago >= 0 {
		return now.Add(-ago).UTC(), nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return time.Time{}, fmt.Errorf("%q is neither a time such as 2026-11-23T18:00:00Z nor a duration such as 1h", text)
	}
	return at.UTC(), nil
}

// showAudit prints rows that come the newest first as lines for people, the oldest first.
func showAudit(out io.Writer, from io.Reader) error {
	var lines []string
	in := newAuditReader(from)
	for {
		_, row, err := in.next()
		if err == io.EOF { //nolint:errorlint // next returns it as it is
			break
		}
		if err != nil {
			return err
		}
		lines = append(lines, auditLine(&row))
	}
	slices.Reverse(lines)
	w := bufio.NewWriter(out)
	for _, line := range lines {
		_, _ = fmt.Fprintln(w, line)
	}
	return w.Flush()
}

// auditLine is a row for people: what happened, who did it, to what, and then all else by name.
func auditLine(r *roxy.AuditRow) string {
	var rest []string
	for _, m := range [...]struct{ name, value string }{
		{"event", r.Event},
		{"type", r.Type},
		{"correlation", r.Correlation},
		{"device", r.Device},
		{"mutation", r.Mutation},
		{"version", number(r.Version)},
		{"attempt", number(uint64(max(r.Attempt, 0)))},
		{"count", number(r.Count)},
		{"member", r.Member},
		{"transport", r.Transport},
		{"remote", r.Remote},
		{"connection", r.Connection},
	} {
		if m.value != "" {
			rest = append(rest, m.name+"="+m.value)
		}
	}
	if r.Detail != "" {
		rest = append(rest, strconv.Quote(r.Detail)) // it may hold anything
	}
	what := string(r.Kind)
	if r.Reason != "" {
		what += " " + r.Reason
	}
	return strings.TrimRight(fmt.Sprintf("%s  %-24s %-12s %-20s %s", r.Time.Local().Format("2006-01-02 15:04:05.000"), what, r.User, r.Topic, strings.Join(rest, " ")), " ")
}

func number(n uint64) string {
	if n == 0 {
		return ""
	}
	return strconv.FormatUint(n, 10)
}
