// Command roxy is the hub and its tools.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/roxyhub/roxy"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	err := newRoot().ExecuteContext(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "roxy:", describe(err))
		os.Exit(1)
	}
}

// describe adds to a refusal of the hub which member it is about.
func describe(err error) string {
	var p *roxy.Problem
	if errors.As(err, &p) && p.Member != "" {
		return fmt.Sprintf("%v (%s)", err, p.Member)
	}
	return err.Error()
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "roxy",
		Short: "A real-time event hub: durable log, resumable streams, verified identities",
		Long: `roxy is a real-time event hub in one binary. Publishers post events over HTTP; browsers and programs
follow them as a resumable stream. What was acknowledged is on disk, and nobody sees what is not theirs.

Three commands to begin with, each in a terminal of its own:

  roxy serve                                    a hub on this machine; it prints a token to use
  roxy tail 'orders/**'                         follow events
  roxy publish orders/7 '{"table":7}'           publish one

Exit status: 0 when all went well, 1 when not; what to do next is in the message.`,
		Version:       version(),
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(newServe(), newCheck(), newGenerate(), newToken(), newPublish(), newTail(), newDrain(), newBench())
	return root
}

// version is that of the module, or of the commit for a build from a checkout.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	var v strings.Builder
	v.WriteString(info.Main.Version)
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 {
			v.WriteString(" " + s.Value[:12])
		}
	}
	return v.String()
}
