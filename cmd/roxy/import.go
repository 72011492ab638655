package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/portable"
)

const (
	// importBatch is how many bytes one request carries: some thousand events to one sync.
	importBatch = 2 << 20
	// importPatience is how long an import waits for a hub that is overloaded, before it gives up for now.
	importPatience = 2 * time.Minute
)

func newImport() *cobra.Command {
	var hub operator
	var abandon bool
	cmd := &cobra.Command{
		Use:   "import FILE|-",
		Short: "Take in what roxy export wrote",
		Long: `import gives a hub a tenant as export wrote it, with its epoch and its positions, so that whoever followed the tenant
elsewhere goes on with their cursors. The tenant must never have been written to on that hub, and is closed to everybody
else until the import is done: they are told not-ready.

A file is checked as a whole before the first line of it is sent. An import that was interrupted goes on where it
stopped when it is started again with the same file; --abandon gives it up, and empties the tenant again.

The token is that of an administrator of the tenant, the URL that of the operator's listener.`,
		Example: `  roxy import bar.ndjson --admin http://127.0.0.1:8081
  zstd -dc bar.ndjson.zst | roxy import -
  roxy import --abandon`,
		Args: func(_ *cobra.Command, args []string) error {
			if n := len(args); abandon && n > 0 || !abandon && n != 1 {
				return errors.New("name the file that export wrote, or - for standard input; --abandon takes none")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			in := &importer{hub: hub, progress: newProgress(os.Stderr)}
			defer in.progress.done()
			if abandon {
				var now importState
				if err := hub.ask(cmd.Context(), http.MethodDelete, "/v1/admin/import", "", nil, &now); err != nil {
					return err
				}
				_, err := fmt.Fprintln(cmd.OutOrStdout(), "the import was given up; the tenant is empty")
				return err
			}
			told, err := in.run(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), told)
			return err
		},
	}
	hub.add(cmd, "admin")
	cmd.Flags().BoolVar(&abandon, "abandon", false, "give up an import that was begun, and empty the tenant again")
	return cmd
}

// importState is how far the hub is.
type importState struct {
	Running  bool   `json:"running"`
	Epoch    string `json:"epoch"`
	Offset   uint64 `json:"offset"`
	First    uint64 `json:"first"`
	Head     uint64 `json:"head"`
	Topic    string `json:"topic"`
	Entities uint64 `json:"entities"`
}

// importer sends one export.
type importer struct {
	hub      operator
	progress *progress
	header   portable.Header
	raw      []byte // the header's line
	batch    []byte
	line     int // of the batch's first one
}

func (in *importer) run(ctx context.Context, name string) (told string, err error) {
	source := os.Stdin
	if name != "-" {
		if source, err = os.Open(name); err != nil { //nolint:gosec // the operator's choice
			return "", err
		}
		defer func() { _ = source.Close() }()
	}
	if info, err := source.Stat(); err == nil && info.Mode().IsRegular() {
		if err := in.checkWhole(ctx, source); err != nil {
			return "", fmt.Errorf("%s: %w", name, err)
		}
		if _, err := source.Seek(0, io.SeekStart); err != nil {
			return "", err
		}
	}
	r, err := portable.NewReader(source)
	if err != nil {
		return "", fmt.Errorf("%s: %w", name, err)
	}
	in.header, in.raw = r.Header, r.Raw
	var at importState
	if err := in.hub.ask(ctx, http.MethodGet, "/v1/admin/import", "", nil, &at); err != nil {
		return "", err
	}
	of := in.header.Of
	if !at.Running && at.Epoch == of.Epoch && at.Offset > 0 && at.Offset >= of.Head {
		return fmt.Sprintf("nothing to do: the hub holds the tenant %s up to %s.%d", in.header.Tenant, at.Epoch, at.Offset), nil
	}
	if !at.Running {
		at = importState{} // the hub tells whether the tenant is empty
	}
	if at, err = in.send(ctx, r, at); err != nil {
		if ctx.Err() != nil || !refused(err) {
			err = fmt.Errorf("%w\nrun the same command again: it goes on where it stopped", err)
		}
		return "", err
	}
	return fmt.Sprintf("imported the tenant %s: it is at %s.%d and open", in.header.Tenant, at.Epoch, at.Offset), nil
}

// refused reports whether repeating is in vain.
func refused(err error) bool {
	p, ok := errors.AsType[*roxy.Problem](err)
	return ok && p.RetryAfter == 0
}

// checkWhole reads all of an export.
func (in *importer) checkWhole(ctx context.Context, from io.Reader) error {
	r, err := portable.NewReader(from)
	for err == nil && ctx.Err() == nil {
		var number int
		_, _, number, err = r.Next()
		in.progress.show("line %d is good", number)
	}
	if errors.Is(err, io.EOF) {
		return nil
	}
	return errors.Join(err, ctx.Err())
}

// send sends what the hub, which is at at, does not have. The end goes when everything before it was found to be true.
func (in *importer) send(ctx context.Context, r *portable.Reader, at importState) (importState, error) {
	for {
		l, raw, number, err := r.Next()
		if errors.Is(err, io.EOF) {
			return at, in.flush(ctx, &at)
		}
		switch {
		case err != nil:
			return at, err
		case l.Event != nil && l.Event.Offset <= at.Offset, l.State != nil && strings.Compare(l.State.Topic.String(), at.Topic) <= 0:
			continue
		}
		if len(in.batch) > 0 && len(in.batch)+len(raw) > importBatch {
			if err := in.flush(ctx, &at); err != nil {
				return at, err
			}
		}
		if len(in.batch) == 0 {
			in.batch, in.line = append(in.batch, in.raw...), number
		}
		in.batch = append(in.batch, raw...)
	}
}

// flush sends the batch, again when the hub is overloaded: what it has of it already it passes over.
func (in *importer) flush(ctx context.Context, at *importState) error {
	if len(in.batch) == 0 {
		return nil
	}
	for began := time.Now(); ; {
		var now importState
		err := in.hub.ask(ctx, http.MethodPost, fmt.Sprintf("/v1/admin/import?line=%d", in.line), "application/x-ndjson", in.batch, &now)
		if err == nil {
			*at, in.batch = now, in.batch[:0]
			in.progress.show("%d of %d events, %d entities", now.Offset, in.header.Of.Head, now.Entities)
			return nil
		}
		p, ok := errors.AsType[*roxy.Problem](err)
		if !ok || p.RetryAfter == 0 || time.Since(began) > importPatience {
			return err
		}
		in.progress.show("the hub cannot take it now: %s", p.Detail)
		select {
		case <-time.After(p.RetryAfter):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
