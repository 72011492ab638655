package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"

	"github.com/spf13/cobra"

	"github.com/roxyhub/roxy/portable"
)

func newExport() *cobra.Command {
	var hub operator
	var out string
	cmd := &cobra.Command{
		Use:   "export",
		Short: "Write a tenant's log and entities, for a backup or a move",
		Long: `export writes all that a running hub has of the token's tenant, as it is at one position: the events that are retained and
the entities, every field of them, as lines of JSON. The hub goes on meanwhile. What arrived is checked against the
numbers and the checksum of the last line before FILE gets its name; until then it is FILE.part.

The token is that of an administrator, the URL that of the operator's listener.`,
		Example: `  roxy export --out bar.ndjson
  roxy export --admin http://127.0.0.1:8081 | zstd >bar.ndjson.zst`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			resp, err := hub.open(cmd.Context(), http.MethodGet, "/v1/admin/export", "", nil)
			if err != nil {
				return err
			}
			defer func() { _ = resp.Body.Close() }()
			var told string
			if out == "-" {
				told, err = receive(resp.Body, cmd.OutOrStdout())
			} else {
				told, err = receiveFile(resp.Body, out)
			}
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(cmd.ErrOrStderr(), "exported", told)
			return err
		},
	}
	hub.add(cmd, "admin")
	cmd.Flags().StringVarP(&out, "out", "o", "-", "the `FILE` to write; - is standard output")
	return cmd
}

// receiveFile receives an export into a file, which has its name when it is whole and on disk.
func receiveFile(from io.Reader, name string) (told string, err error) {
	part := name + ".part"
	file, err := os.OpenFile(part, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600) //nolint:gosec // the operator's choice
	if err != nil {
		return "", err
	}
	told, err = receive(from, file)
	if err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return "", fmt.Errorf("%w\nwhat came of it is in %s", err, part)
	}
	return told, os.Rename(part, name)
}

// receive copies an export and checks it on the way.
func receive(from io.Reader, to io.Writer) (told string, err error) {
	progress := newProgress(os.Stderr)
	defer progress.done()
	r, err := portable.NewReader(from)
	if err != nil {
		return "", err
	}
	w := bufio.NewWriterSize(to, 1<<16)
	if _, err := w.Write(r.Raw); err != nil {
		return "", err
	}
	events, entities := 0, 0
	for {
		l, raw, _, err := r.Next()
		if errors.Is(err, io.EOF) {
			of := r.Header.Of
			return fmt.Sprintf("%d events and %d entities of %s, up to %s.%d", events, entities, r.Header.Tenant, of.Epoch, of.Head), w.Flush()
		}
		if err != nil {
			return "", err
		}
		if _, err := w.Write(raw); err != nil {
			return "", err
		}
		switch {
		case l.Event != nil:
			events++
		case l.State != nil:
			entities++
		}
		progress.show("%d events, %d entities", events, entities)
	}
}
