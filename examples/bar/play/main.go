// Command play says the evening at the bar to a running hub, faster than it was:
//
//	go run ./examples/bar/play --speed 60
//
// Each event is published by the user whose it is, with a development token. Stopped and started again with the same
// --night it goes on where it was: the hub knows the events by their idempotency keys.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	bar "github.com/roxyhub/roxy/examples/bar"
)

type settings struct {
	hub, secret, evening, night, roxy string
	speed                             float64
	limit                             int
}

func main() {
	var s settings
	flag.StringVar(&s.hub, "hub", "http://127.0.0.1:8080", "the hub's public address")
	flag.StringVar(&s.secret, "secret", "examples/bar/dev.secret", "the file with the secret that signs development tokens")
	flag.StringVar(&s.evening, "evening", "examples/bar/evening.ndjson", "the evening")
	flag.StringVar(&s.night, "night", "tonight-", "what opens the idempotency keys; another one plays the evening anew")
	flag.StringVar(&s.roxy, "roxy", "roxy", "the roxy command, for what is told to paste")
	flag.Float64Var(&s.speed, "speed", 60, "how many times faster than it was; 0 waits for nothing")
	flag.IntVar(&s.limit, "limit", 0, "how many events at most; 0 plays all")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, s)
	stopped := ctx.Err() != nil
	stop()
	switch {
	case err == nil:
	case stopped && errors.Is(err, context.Canceled):
		fmt.Println("\nstopped; the same --night goes on from here")
		os.Exit(130)
	default:
		fmt.Fprintln(os.Stderr, "play:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, s settings) error {
	secret, err := os.ReadFile(s.secret)
	if err != nil {
		return fmt.Errorf("secret: %w", err)
	}
	secret = bytes.TrimSpace(secret)
	turns, err := read(s.evening)
	if err != nil {
		return err
	}
	if s.limit > 0 && s.limit < len(turns) {
		turns = turns[:s.limit]
	}
	if err := tellHowToWatch(s, secret); err != nil {
		return err
	}
	progress := newProgress(os.Stdout, len(turns))
	player := &bar.Player{
		URL: s.hub, Secret: secret, HTTPClient: http.DefaultClient, Speed: s.speed, Night: s.night, Said: progress.said,
	}
	if err := player.Play(ctx, turns); err != nil {
		return err
	}
	progress.done()
	return nil
}

func read(path string) ([]bar.Turn, error) {
	f, err := os.Open(path) //nolint:gosec // the caller names it
	if err != nil {
		return nil, fmt.Errorf("evening: %w", err)
	}
	defer func() { _ = f.Close() }() // read only
	turns, err := bar.Read(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return turns, nil
}

// tellHowToWatch prints commands to paste into another terminal. Tokens go into files beside the secret, not onto the
// screen or into the shell's history.
func tellHowToWatch(s settings, secret []byte) error {
	folder, err := filepath.Abs(filepath.Dir(s.secret))
	if err != nil {
		return err
	}
	for _, who := range []struct {
		user, role string
		patterns   []string
	}{
		{"waiter-1", "waiter", []string{"orders/**", "tables/**", "calls/**", "receipts/**", "notes/**"}},
		{"kitchen", "kitchen", []string{"orders/**", "products/**", "notes/**"}},
	} {
		token, err := bar.Token(secret, who.user, []string{who.role}, 12*time.Hour)
		if err != nil {
			return err
		}
		file := filepath.Join(folder, who.role+".token")
		if err := os.WriteFile(file, []byte(token), 0o600); err != nil { //nolint:gosec // the caller names the folder
			return fmt.Errorf("token of %s: %w", who.user, err)
		}
		fmt.Print(watch(s, file, who.user, who.role, who.patterns))
	}
	return nil
}
