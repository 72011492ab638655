package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime/debug"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/roxyhub/roxy/admin"
	"github.com/roxyhub/roxy/auth"
	"github.com/roxyhub/roxy/engine/disk"
	"github.com/roxyhub/roxy/httpapi"
	"github.com/roxyhub/roxy/hub"
	"github.com/roxyhub/roxy/internal/config"
	"github.com/roxyhub/roxy/internal/fanout"
	"github.com/roxyhub/roxy/internal/telemetry"
	"github.com/roxyhub/roxy/limit"
)

// stopTime bounds a stop behind the drain: commits end, the engine closes.
const stopTime = 15 * time.Second

// gcPercent lets the heap grow to three times of what lives before it is collected: a tenth more publishes per second than
// with Go's 100, for some 20 MB (docs/performance.md). The environment's GOGC wins.
const gcPercent = 200

func newServe() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the hub",
		Long: `serve runs the hub until it is told to stop (SIGTERM, Ctrl-C). SIGHUP, or a change of the file, reloads the
policy and the limits; other keys take effect at the next start.

Without a configuration it is a hub for development: on loopback only, with a secret of its own in the data folder. It
prints a token and commands to paste.

Every key of the file is also a flag, and an environment variable: admin.listen is --admin-listen and
ROXY_ADMIN_LISTEN. Lists are separated by commas; auth.keys and policy.roles take YAML. docs/configuration.md has them all.`,
		Example: `  roxy serve                            # for development
  roxy serve --config roxy.yaml
  roxy check roxy.yaml                  # what is wrong with it?`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			from, err := sourcesOf(cmd)
			if err != nil {
				return err
			}
			again := watch(cmd.Context(), from.File)
			defer again.stop()
			if from.File == "" && !keysGiven(from) {
				return serveDevelopment(cmd.Context(), from, again)
			}
			loaded, err := config.Load(from)
			if err != nil {
				return err
			}
			return serve(cmd.Context(), loaded, from, again, nil)
		},
	}
	addConfigFlags(cmd)
	return cmd
}

// serve wires the hub together, runs it until ctx ends, and takes it apart in the reverse order. The policy and the
// limits are read from their sources again when again says so. started, when not nil, is called once it listens.
func serve(ctx context.Context, c *config.Loaded, from config.Sources, again *reloads, started func()) (err error) {
	if _, set := os.LookupEnv("GOGC"); !set {
		debug.SetGCPercent(gcPercent)
	}
	again.follow(c)
	log := telemetry.Logger(os.Stderr, slog.Level(c.Log.Level), string(c.Log.Format))
	for _, w := range c.Warnings {
		log.LogAttrs(ctx, slog.LevelWarn, "configuration", slog.String("warning", w))
	}

	share, err := descriptorsOf()
	if err != nil {
		return err
	}
	gate := fanout.NewGate(share.clients, share.surplus, log)
	limitMemory(ctx, log)

	store, err := disk.Open(string(c.Data), disk.Options{
		Retention: disk.Retention{Age: c.Retention.Age, Events: c.Retention.Events, Bytes: uint64(c.Retention.Bytes)}, //nolint:gosec // a size is never negative
		Audit:     disk.Audit{Age: c.Audit.Age, Bytes: uint64(c.Audit.Bytes), Publishes: c.Audit.Publishes},           //nolint:gosec // as above
		DeviceAge: c.Mailbox.Age, MaxOpenAcks: c.Limits.OpenAcks,
		MaxOpenFiles: share.store, Logger: log,
	})
	if errors.Is(err, syscall.EAGAIN) {
		return fmt.Errorf("the folder %s is in use by another hub: stop that one, or choose another with --data", c.Data)
	}
	if err != nil {
		return fmt.Errorf("open the log in %s: %w", c.Data, err)
	}
	defer func() { err = errors.Join(err, store.Close()) }()

	h, err := hub.Start(ctx, store, hub.Options{
		MaxEventBytes: int(c.Limits.Event), MaxBatch: c.Limits.Batch,
		QueueBytes: int(c.Stream.Queue.Bytes), QueueEvents: c.Stream.Queue.Events,
		MailboxEvents: c.Mailbox.Events, MailboxAge: c.Mailbox.Age, DevicesPerUser: c.Limits.DevicesPerUser,
		Coalesce: coalesce(c), ReplayRate: c.Limits.Replay.Rate, ReplayBurst: c.Limits.Replay.Burst, PresenceGrace: c.Presence.Grace, DrainOver: c.Drain.Over, Fields: fieldRules(c), Schemas: c.Schemas, Describe: httpapi.Describe, Logger: log,
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeHub(context.WithoutCancel(ctx), h)) }()

	hook, err := webhookOf(ctx, c, store, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeWebhook(context.WithoutCancel(ctx), hook)) }()

	verifier, err := auth.New(ctx, auth.Options{
		Keys: c.Keys, Issuer: c.Auth.Issuer, Audience: c.Auth.Audience, Leeway: c.Auth.Leeway, Cookie: c.Auth.Cookie,
		Origins: cookieOrigins(c), TenantClaim: c.Auth.Claims.Tenant, RolesClaim: c.Auth.Claims.Roles,
		Policy: auth.Policy{Roles: c.Grants()}, Revoked: h.Revoked, Logger: log,
	})
	if err != nil {
		return err
	}
	defer verifier.Close()
	limits := limit.New(limitOptions(c, log))

	public, err := httpapi.New(httpapi.Options{
		Hub: h, Auth: verifier, Limits: limits, CORS: httpapi.CORS{Origins: c.CORS.Origins, Credentials: c.CORS.Credentials},
		MaxEventBytes: int(c.Limits.Event), MaxBatch: c.Limits.Batch, MaxTopicsPerStream: c.Limits.TopicsPerStream,
		Heartbeat: c.Stream.Heartbeat, NoCompression: c.Stream.Compression == "off", TrustedProxies: c.Proxies(), Logger: log,
		Schemas: func() []httpapi.Schema { return describedSchemas(h) },
	})
	if err != nil {
		return err
	}
	asked := make(chan time.Duration, 1) // for a drain, and over how long
	operator := admin.New(admin.Options{
		Drain: func(over time.Duration) {
			select {
			case asked <- over:
			default: // it was asked for before
			}
		},
		DrainOver: c.Drain.Over,
		Hub:       h, Auth: verifier, Metrics: telemetry.Handler(h, store, limits, verifier, gate, hook), Logger: log,
	})

	certificates, err := certificatesOf(c, log)
	if err != nil {
		return err
	}
	defer certificates.stop()
	servers, over := &servers{log: log}, c.Drain.Over
	defer func() { err = errors.Join(err, servers.stop(context.WithoutCancel(ctx), h, over)) }()
	for _, address := range c.Listen {
		if err := servers.start(ctx, "public", string(address), gate, certificates.config, public); err != nil {
			return err
		}
	}
	if err := servers.start(ctx, "admin", string(c.Admin.Listen), fanout.NewGate(share.admin, 0, log), nil, operator); err != nil {
		return err
	}
	if started != nil {
		started()
	}
	if err := certificates.start(ctx); err != nil {
		return err
	}
	for {
		select {
		case <-ctx.Done():
			log.LogAttrs(context.WithoutCancel(ctx), slog.LevelInfo, "stopping")
			return nil
		case over = <-asked:
			return nil
		case err := <-servers.failed():
			return err
		case <-certificates.changed:
			certificates.files.Reload(ctx)
			continue
		case <-again.hangup:
			if certificates.files != nil {
				certificates.files.Reload(ctx)
			}
		case <-again.changed:
		}
		reloadPolicy(ctx, from, again, verifier, limits, h, log)
	}
}

// cookieOrigins returns the origins whose pages may send the cookie: none when they could not read the answer.
func cookieOrigins(c *config.Loaded) []string {
	if !c.CORS.Credentials {
		return nil
	}
	return c.CORS.Origins
}

func closeHub(ctx context.Context, h *hub.Hub) error {
	ctx, cancel := context.WithTimeout(ctx, stopTime)
	defer cancel()
	return h.Close(ctx)
}

func coalesce(c *config.Loaded) (all []hub.Coalesce) {
	for _, o := range c.Coalesce {
		all = append(all, hub.Coalesce(o))
	}
	return all
}

// describedSchemas returns the schemas in force, as the listener tells them.
func describedSchemas(h *hub.Hub) (all []httpapi.Schema) {
	for _, f := range h.Schemas().Files() {
		all = append(all, httpapi.Schema{Name: f.Name, Entity: f.Topic, Events: f.Events, Text: f.Text})
	}
	return all
}

func fieldRules(c *config.Loaded) (all []hub.FieldRule) {
	for _, r := range c.Fields {
		all = append(all, hub.FieldRule(r))
	}
	return all
}

func limitOptions(c *config.Loaded, log *slog.Logger) limit.Options {
	return limit.Options{
		ConnectionsPerIP: c.Limits.Connections.PerIP, ConnectionsPerUser: c.Limits.Connections.PerUser,
		ConnectionsPerTenant: c.Limits.Connections.PerTenant, AttemptsPerIP: c.Limits.Connections.AttemptsPerIP,
		PublishRate: c.Limits.Publish.Rate, PublishBurst: c.Limits.Publish.Burst,
		PublishTenantRate: c.Limits.PublishTenant.Rate, PublishTenantBurst: c.Limits.PublishTenant.Burst,
		AckRate: c.Limits.Acks.Rate, AckBurst: c.Limits.Acks.Burst,
		Logger: log,
	}
}

// servers are the listeners, each with its server.
type servers struct {
	log     *slog.Logger
	all     []*http.Server
	running sync.WaitGroup
	errs    chan error
}

func (s *servers) failed() <-chan error { return s.errs }

// start listens on address behind gate, with secure unless that is nil, and serves handler there. The read timeouts bound the head of
// a request alone: a stream lives as long as its client.
func (s *servers) start(ctx context.Context, name, address string, gate *fanout.Gate, secure *tls.Config, handler http.Handler) error {
	if s.errs == nil {
		s.errs = make(chan error, 16)
	}
	var listen net.ListenConfig
	listener, err := listen.Listen(ctx, "tcp", address)
	if err != nil {
		return fmt.Errorf("%s listener: %w: stop what listens there, or choose another address", name, err)
	}
	listener = gate.Listen(listener)
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(secure != nil)
	protocols.SetUnencryptedHTTP2(secure == nil)
	if secure != nil {
		listener = fanout.NewTLSListener(listener, secure)
	}
	server := &http.Server{
		Protocols: &protocols,
		// A page's streams share one connection. A peer that vanished is found by pings, one that takes nothing by its writes.
		HTTP2:   &http.HTTP2Config{MaxConcurrentStreams: 1000, SendPingTimeout: 30 * time.Second, PingTimeout: 15 * time.Second, WriteByteTimeout: 30 * time.Second},
		Handler: handler, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 32 << 10,
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			if fanout.Surplus(c) {
				return httpapi.Surplus(ctx)
			}
			return ctx
		},
		ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	s.all = append(s.all, server)
	s.running.Go(func() {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			s.errs <- fmt.Errorf("%s listener: %w", name, err)
		}
	})
	s.log.LogAttrs(ctx, slog.LevelInfo, "listening", slog.String("listener", name), slog.Bool("tls", secure != nil), slog.String("address", listener.Addr().String()))
	return nil
}

// stop accepts nothing more, ends the streams over so long, and waits for the requests in progress. The operator's
// listener, which was started last, stays until then, so that what is left can be seen.
func (s *servers) stop(ctx context.Context, h *hub.Hub, over time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, over+stopTime)
	defer cancel()
	errs := make([]error, len(s.all)+1)
	var stopping sync.WaitGroup
	for i, server := range s.all[:max(0, len(s.all)-1)] {
		stopping.Go(func() { errs[i] = server.Shutdown(ctx) })
	}
	errs[len(s.all)] = h.Drain(ctx, over)
	stopping.Wait()
	if last := len(s.all) - 1; last >= 0 {
		errs[last] = s.all[last].Shutdown(ctx)
	}
	s.running.Wait()
	return errors.Join(errs...)
}
