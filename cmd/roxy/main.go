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
	ctx, stop := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-signals
		stop()
		<-signals // a second one ends the program at once, however soon it comes
		os.Exit(1)
	}()
	err := newRoot().ExecuteContext(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "roxy:", describe(err))
		os.Exit(1)
	}
}

// describe adds to a refusal of the hub what else it tells: which member it is about, what a guard ran into and how a
// schema is violated.
func describe(err error) string {
	var p *roxy.Problem
	if !errors.As(err, &p) {
		return err.Error()
	}
	var text strings.Builder
	text.WriteString(err.Error())
	if p.Member != "" {
		fmt.Fprintf(&text, " (%s)", p.Member)
	}
	if c := p.Conflict; c != nil {
		if len(c.Fields) > 0 {
			fmt.Fprintf(&text, "\n  clashing: %s", strings.Join(c.Fields, ", "))
		}
		if c.Current != nil {
			fmt.Fprintf(&text, "\n  now: %s", entityLine(c.Current))
		}
	}
	for _, v := range p.Violations {
		fmt.Fprintf(&text, "\n  at %q: %s (%s)", v.Pointer, v.Message, v.Keyword)
	}
	return text.String()
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "roxy",
		Short: "A real-time event hub: durable log, resumable streams, versioned entities, verified identities",
		Long: `roxy is a real-time event hub in one binary. Publishers post events over HTTP; browsers and programs
follow them as a resumable stream. What was acknowledged is on disk, and nobody sees what is not theirs.

Three commands to begin with, each in a terminal of its own:

  roxy serve                                    a hub on this machine; it prints a token to use
  roxy tail 'orders/**'                         follow events
  roxy publish orders/7 '{"table":7}'           publish one

What is rather than what happened is an entity, a JSON object with a version; its changes are events, too:

  roxy put tables/7 '{"guests":4}'              create or replace it
  roxy patch tables/7 '{"waiter":"anna"}'       change some of it
  roxy get 'tables/*'                           read all tables
  roxy tail --snapshot 'tables/*'               all tables as they are, then as they change

What somebody must take notice of is a critical event: it waits for devices, and comes again until one confirms:

  roxy tail --device kitchen-1 --ack 'orders/*'           a device that confirms what it is given
  roxy publish orders/7 '{"allergy":"nuts"}' --ack any    one device must confirm
  roxy receipts CURSOR                                    who has it, and who confirmed
  roxy devices                                            your devices

Exit status: 0 when all went well, 1 when not; what to do next is in the message.`,
		Version:       version(),
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(newServe(), newCheck(), newGenerate(), newToken(), newPublish(), newTail(), newReceipts(), newDevices(), newGet(), newPut(), newPatch(), newDelete(), newDrain(), newExport(), newImport(), newAudit(), newBench())
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
