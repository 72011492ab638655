package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/roxyhub/roxy"
)

func newPut() *cobra.Command {
	var fresh bool
	cmd := newMutation(roxy.Put, &fresh)
	cmd.Use, cmd.Short = "put TOPIC JSON|@FILE|-", "Create or replace an entity"
	cmd.Long = `put makes what lives at TOPIC the given JSON object, which is read from FILE with @ and from standard input with -, and
prints its version once it is on the hub's disk. A member that is null is left out.

` + guardsHelp
	cmd.Example = `  roxy put orders/7 '{"table":7,"status":"new"}' --new
  roxy put menu/tonight @menu.json
  roxy get orders/7 | jq -c '.data | .guests = 4' | roxy put orders/7 - --if-match 3`
	cmd.Flags().BoolVar(&fresh, "new", false, "only if nothing lives there")
	return cmd
}

func newPatch() *cobra.Command {
	cmd := newMutation(roxy.Patch, nil)
	cmd.Use, cmd.Short = "patch TOPIC JSON|@FILE|-", "Change some fields of an entity"
	cmd.Long = `patch changes the given members of what lives at TOPIC and leaves the others (RFC 7396: null removes a member, objects are
merged, arrays replaced), and prints the version once it is on the hub's disk. The patch is read from FILE with @ and from
standard input with -.

` + guardsHelp
	cmd.Example = `  roxy patch orders/7 '{"status":"ready","note":null}'
  roxy patch orders/7 '{"status":"paid"}' --base 3
  roxy patch orders/7 @change.json --if-match 3`
	return cmd
}

func newDelete() *cobra.Command {
	cmd := newMutation(roxy.Delete, nil)
	cmd.Use, cmd.Short = "delete TOPIC", "Delete an entity"
	cmd.Long = `delete removes what lives at TOPIC and prints the version of its tombstone; whoever creates it again goes on counting.

` + guardsHelp
	cmd.Example = `  roxy delete orders/7
  roxy delete orders/7 --if-match 4`
	return cmd
}

const guardsHelp = `With --base or --if-match it is refused when somebody else was faster: what clashes and what is there now are printed,
and the exit status is 1. It is repeated with the same id until the hub has answered.`

// newMutation returns a command that commits one mutation. fresh, when not nil, asks that nothing lives there.
func newMutation(op roxy.Op, fresh *bool) *cobra.Command {
	var (
		hub   clientFlags
		flags mutationFlags
	)
	args := 2
	if op == roxy.Delete {
		args = 1
	}
	cmd := &cobra.Command{
		Args: cobra.ExactArgs(args),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := hub.open()
			if err != nil {
				return err
			}
			m := roxy.Mutation{Op: op}
			if m.Topic, err = roxy.ParseTopic(args[0]); err != nil {
				return err
			}
			if len(args) == 2 {
				if m.Data, err = contents(cmd.InOrStdin(), args[1]); err != nil {
					return err
				}
			}
			if err := flags.apply(cmd, &m, fresh != nil && *fresh); err != nil {
				return err
			}
			done, err := c.Mutate(cmd.Context(), m)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), done[0].Version)
			return err
		},
	}
	hub.add(cmd)
	flags.add(cmd, op)
	cmd.Flags().SortFlags = false
	return cmd
}

// contents returns the JSON that arg is, or that it says where to read.
func contents(stdin io.Reader, arg string) (text []byte, err error) {
	switch file, named := strings.CutPrefix(arg, "@"); {
	case arg == "-":
		text, err = io.ReadAll(stdin)
	case named:
		text, err = os.ReadFile(file) //nolint:gosec // named by who runs the command
	default:
		text = []byte(arg)
	}
	if err == nil && !json.Valid(text) {
		err = fmt.Errorf("%.40q is not JSON: give an object as in '{\"table\":7}', @FILE or -", arg)
	}
	return text, err
}

// mutationFlags are what a mutation says besides.
type mutationFlags struct {
	base, seq                            uint64
	match, id, kind, correlation, device string
}

func (f *mutationFlags) add(cmd *cobra.Command, op roxy.Op) {
	flags, match := cmd.Flags(), "refuse unless it is at version `N`"
	if op != roxy.Put {
		match += "; * says what holds anyway: there must be one"
	}
	flags.Uint64Var(&f.base, "base", 0, "refuse if somebody changed one of the same fields since version `N`")
	flags.StringVar(&f.match, "if-match", "", match)
	flags.StringVar(&f.id, "id", "", "the mutation's id, which is its idempotency key (default a random one)")
	flags.StringVar(&f.kind, "type", "", "the event's type (default entity:created, :updated or :deleted)")
	flags.StringVar(&f.correlation, "correlation", "", "what groups related events")
	flags.StringVar(&f.device, "device", "", "who writes: its receipts are on roxy tail --device, its own earlier changes no conflict")
	flags.Uint64Var(&f.seq, "seq", 0, "grows with each mutation of the device")
}

func (f *mutationFlags) apply(cmd *cobra.Command, m *roxy.Mutation, fresh bool) error {
	m.ID, m.Type, m.Correlation, m.Device, m.Seq = f.id, f.kind, f.correlation, f.device, f.seq
	based, guards := cmd.Flags().Changed("base"), 0
	for _, given := range []bool{based, f.match != "", fresh} {
		if given {
			guards++
		}
	}
	switch {
	case guards > 1:
		return errors.New("one of --base, --if-match and --new guards, not several")
	case fresh:
		m.Guard, m.Base = roxy.GuardVersion, 0
	case based:
		m.Guard, m.Base = roxy.GuardFields, f.base
	case f.match == "*" && m.Op == roxy.Put:
		return errors.New("a put with --if-match '*' there is not: read the version by roxy get and give that, or change what is there by roxy patch")
	case f.match == "*": // a patch or a delete of nothing is refused anyway
	case f.match != "":
		version, err := strconv.ParseUint(strings.Trim(f.match, `"`), 10, 64)
		if err != nil || version == 0 {
			return fmt.Errorf("--if-match %q: want a version, as roxy get prints it, or *", f.match)
		}
		m.Guard, m.Base = roxy.GuardVersion, version
	}
	return nil
}
