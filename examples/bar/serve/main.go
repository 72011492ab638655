// Command serve is the backend of the bar's app: it serves what examples/bar/web builds, and gives the staff of the demo
// tokens for the hub.
//
//	go run ./examples/bar/serve --hub http://127.0.0.1:8080
//
// Whoever can reach it can be anybody of the staff, so it listens on loopback alone.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

type settings struct {
	listen, hub, admin, secret, web string
	lifetime                        time.Duration
}

func main() {
	var s settings
	flag.StringVar(&s.listen, "listen", "127.0.0.1:8090", "the loopback address to serve the app on")
	flag.StringVar(&s.hub, "hub", "http://127.0.0.1:8080", "the hub's public address, as pages reach it")
	flag.StringVar(&s.admin, "admin", "http://127.0.0.1:8081", "the hub's operator's listener, for the manager's audit")
	flag.StringVar(&s.secret, "secret", "examples/bar/dev.secret", "the file with the secret that signs development tokens")
	flag.StringVar(&s.web, "web", "examples/bar/web/dist", "the folder of the built app")
	flag.DurationVar(&s.lifetime, "lifetime", 5*time.Minute, "how long a token is good; pages renew theirs")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, s)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "serve:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, s settings) error {
	host, ok := hostOf(s.listen)
	if !ok || !isLoopback(host) {
		return fmt.Errorf("listen %q: want a loopback address with a port, such as 127.0.0.1:8090: whoever reaches this server can be anybody", s.listen)
	}
	secret, err := os.ReadFile(s.secret)
	if err != nil {
		return fmt.Errorf("secret: %w", err)
	}
	secret = bytes.TrimSpace(secret)
	if err := openHouse(ctx, s.hub, secret); err != nil {
		return fmt.Errorf("open the house: %w", err)
	}
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", s.listen)
	if err != nil {
		return err
	}
	web := &http.Server{Handler: newServer(s, secret).handler(), ReadHeaderTimeout: 10 * time.Second}
	done := make(chan error, 1)
	go func() { done <- web.Serve(listener) }()
	fmt.Printf("The bar is open: http://%s\n", listener.Addr())
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	err = web.Shutdown(last)
	if served := <-done; !errors.Is(served, http.ErrServerClosed) {
		return served
	}
	return err
}

// hostOf returns the host of an address with a port.
func hostOf(address string) (host string, ok bool) {
	host, _, err := net.SplitHostPort(address)
	return host, err == nil
}

// isLoopback reports whether host is this machine's own name.
func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
