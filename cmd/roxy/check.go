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
	return &cobra.Command{
		Use:   "check FILE",
		Short: "Say what is wrong with a configuration, or what it sets up",
		Long: `check reads FILE as serve would, environment included, and prints every error with its line, or what a hub with
it would do. What serve only warns of, such as a secret that every user of the machine can read, is an error here. It
reads the files of the keys, fetches nothing and starts nothing.`,
		Example: `  roxy check roxy.yaml`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
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
			return nil
		},
	}
}
