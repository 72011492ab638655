package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"syscall"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/spf13/cobra"
)

func newDrain() *cobra.Command {
	var hub operator
	var over time.Duration
	cmd := &cobra.Command{
		Use:   "drain",
		Short: "Let a hub leave: no new streams, a goodbye to each, and then its end",
		Long: `drain asks a hub to leave, as SIGTERM does, and waits until it has: it accepts nothing more, finishes what was begun, and
tells its streams one after the other to come back in a moment, elsewhere or to its successor. The token is that of an
administrator of the default tenant, the URL that of the operator's listener.`,
		Example: `  roxy drain
  roxy drain --url http://127.0.0.1:8081 --over 2m --token-file operator.token`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			token, err := hub.token()
			if err != nil {
				return err
			}
			query := url.Values{}
			if cmd.Flags().Changed("over") {
				query.Set("over", over.String())
			}
			return awaitDrain(cmd.Context(), cmd.OutOrStdout(), hub.url+"/v1/admin/drain?"+query.Encode(), token)
		},
	}
	hub.add(cmd, "url")
	cmd.Flags().DurationVar(&over, "over", 0, "spread the goodbyes over this; by default the hub's drain.over")
	return cmd
}

// awaitDrain asks again and again until nobody answers: then the hub has left.
func awaitDrain(ctx context.Context, out io.Writer, address, token string) error {
	progress := newProgress(os.Stderr)
	for first := true; ; first = false {
		left, err := askToDrain(ctx, address, token)
		switch {
		case !first && (errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET)):
			progress.done()
			_, err := fmt.Fprintln(out, "the hub has left")
			return err
		case err != nil:
			return err
		}
		progress.show("%d streams left", left)
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(200 * time.Millisecond):
		}
	}
}

func askToDrain(ctx context.Context, address, token string) (left int, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, nil)
	if err != nil {
		return 0, err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<16))
	if err != nil {
		return 0, err
	}
	var answer struct {
		Streams int    `json:"streams"`
		Detail  string `json:"detail"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return 0, fmt.Errorf("%s: %s: is this a hub's operator's listener?", address, resp.Status)
	}
	if resp.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("%s: %s", resp.Status, answer.Detail)
	}
	return answer.Streams, nil
}
