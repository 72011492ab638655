// Package httpapi is the public listener: it reads requests, asks auth who sends them and limit how much they may,
// hands them to the hub or a transport, and answers. It keeps nothing, and nothing of the domain is decided here.
// Every refusal is a problem of RFC 9457 (problem.go); routes.go is the table of contents.
package httpapi

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"time"

	"github.com/roxyhub/roxy/auth"
	"github.com/roxyhub/roxy/hub"
	"github.com/roxyhub/roxy/limit"
)

// Options of the public listener. Hub, Auth and Limits are required.
type Options struct {
	Hub    *hub.Hub
	Auth   *auth.Verifier
	Limits *limit.Limits
	CORS   CORS

	MaxEventBytes      int           // of one event, as roxy.Event.Size counts; 0 is 64 KiB. With MaxBatch it bounds a body
	MaxBatch           int           // events in one publish; 0 is 1,000
	MaxTopicsPerStream int           // 0 is 64
	Heartbeat          time.Duration // of a stream that names none; 0 is 15 s
	NoCompression      bool          // of streams and sockets, whatever the client takes

	TrustedProxies []netip.Prefix // whose X-Forwarded-For is believed
	Logger         *slog.Logger   // requests at debug, failures at error; nil discards

	// Schemas returns the application's, for the documents that the listener serves of itself; nil is none. It is asked
	// at each request for one, because they may be loaded anew, and its results are not changed afterwards.
	Schemas func() []Schema
}

// api answers requests by its Options.
type api struct {
	Options
	maxBody   int64
	documents documents
	sdkBuild  served
}

// New returns the handler of the public listener, or an error that names the option at fault.
func New(opts Options) (http.Handler, error) {
	if err := opts.CORS.check(); err != nil {
		return nil, err
	}
	if opts.MaxEventBytes == 0 {
		opts.MaxEventBytes = 64 << 10
	}
	if opts.MaxBatch == 0 {
		opts.MaxBatch = 1000
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	a := &api{Options: opts, maxBody: publishLimit(opts.MaxEventBytes, opts.MaxBatch), sdkBuild: serve(sdkSource, "text/javascript; charset=utf-8")}
	var schemas []Schema
	if opts.Schemas != nil {
		schemas = opts.Schemas()
	}
	if _, err := describeWith(a.filling(schemas), schemas); err != nil { // and not at the first request for it
		return nil, fmt.Errorf("httpapi: %w", err)
	}
	return opts.CORS.wrap(a.mux()), nil
}
