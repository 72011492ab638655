package main

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/roxyhub/roxy/internal/config"
)

func newCheck() *cobra.Command {
	var data, audit bool
	var head string
	cmd := &cobra.Command{
		Use:   "check FILE [--data [EXPORT]] [--audit]",
		Short: "Say what is wrong with a configuration, or what it sets up",
		Long: `check reads FILE as serve would, environment included, and prints every error with its line, or what a hub with
it would do. What serve only warns of, such as a secret that every user of the machine can read, is an error here. It
reads the files of the keys, fetches nothing and starts nothing.

With --data it also holds every stored entity against the schemas, those of all tenants in the data folder, which no hub may
have open, or those in EXPORT, a file that roxy export wrote. Do it before a stricter schema takes effect.

With --audit it verifies that the audit trails in the data folder, which no hub may have open, are what was written, row by
row. FILE may also be what roxy audit --json wrote. Whoever can write the whole store could have made another trail from
some row on: --head, noted elsewhere before, proves that this one is still the trail up to there.`,
		Example: `  roxy check roxy.yaml
  roxy check roxy.yaml --data
  roxy check roxy.yaml --data bar.ndjson
  roxy check roxy.yaml --audit
  roxy check audit.ndjson --audit --head 1203:5f0c…`,
		Args: func(_ *cobra.Command, args []string) error {
			if n := len(args); n == 0 || n > 2 || n == 2 && !data {
				return errors.New("name one file; an export may follow --data")
			}
			if head != "" && !audit {
				return errors.New("--head goes with --audit")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if audit {
				if exported, err := isAudit(args[0]); err != nil {
					return err
				} else if exported {
					return checkAuditFile(cmd.OutOrStdout(), args[0], head)
				}
			}
			c, err := config.Load(config.Sources{File: args[0], Env: os.LookupEnv})
			if err != nil {
				return err
			}
			if len(c.Warnings) > 0 {
				return errors.New(strings.Join(c.Warnings, "\n"))
			}
			out := cmd.OutOrStdout()
			line := func(format string, a ...any) { _, _ = fmt.Fprintf(out, format+"\n", a...) }
			var algs []string
			for _, k := range c.Keys {
				algs = append(algs, k.Algorithm)
			}
			line("%s is good.", args[0])
			line("  listens on  %s; operator: %s", strings.Trim(fmt.Sprint(c.Listen), "[]"), c.Admin.Listen)
			line("  keeps       its log in %s: %s, %d events, %s for each tenant", c.Data, c.Retention.Age, c.Retention.Events, c.Retention.Bytes)
			line("  believes    tokens signed with %s", strings.Join(algs, ", "))
			line("  grants      to the roles %s", strings.Join(slices.Sorted(maps.Keys(c.Policy.Roles)), ", "))
			if events, entities := purposes(c.Schemas); c.Config.Schemas != "" {
				line("  checks      schemas of %d events and %d entities", events, entities)
			}
			if audit {
				if err := checkAudit(cmd.Context(), out, string(c.Data), head); err != nil {
					return err
				}
			}
			if !data {
				return nil
			}
			export := ""
			if len(args) == 2 {
				export = args[1]
			}
			return checkData(cmd.Context(), out, c, export)
		},
	}
	cmd.Flags().BoolVar(&data, "data", false, "hold the stored entities, or those of an export, against the schemas, too")
	cmd.Flags().BoolVar(&audit, "audit", false, "verify the audit trails, or an export of one")
	cmd.Flags().StringVar(&head, "head", "", "with --audit: the row `SEQ:HASH` that must be there")
	return cmd
}
