package main

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/roxyhub/roxy/auth"
	"github.com/roxyhub/roxy/hub"
	"github.com/roxyhub/roxy/internal/config"
	"github.com/roxyhub/roxy/limit"
)

// reloads says when the configuration is to be read again: on SIGHUP, and when its file or a schema has changed. What comes while
// the hub starts waits for it.
type reloads struct {
	hangup  chan os.Signal
	changed chan struct{}
	schemas atomic.Value // the folder of the configuration that was read last, a string
	stop    func()
}

// watch begins to listen for reloads, until stop. It is called first and stopped last: a SIGHUP that nobody listens for
// ends the process, in the middle of a start or of a drain.
func watch(ctx context.Context, file string) *reloads {
	ctx, cancel := context.WithCancel(ctx)
	r := &reloads{hangup: make(chan os.Signal, 1), changed: make(chan struct{}, 1)}
	signal.Notify(r.hangup, syscall.SIGHUP)
	var running sync.WaitGroup
	r.schemas.Store("")
	folder := func() string { return r.schemas.Load().(string) } //nolint:forcetypeassert // nothing else is stored
	running.Go(func() {
		config.Watch(ctx, file, folder, func() {
			select {
			case r.changed <- struct{}{}:
			default: // one is waiting, and will read what is there by then
			}
		})
	})
	r.stop = func() {
		signal.Stop(r.hangup)
		cancel()
		running.Wait()
	}
	return r
}

// follow watches the schemas of c, which was read just now.
func (r *reloads) follow(c *config.Loaded) { r.schemas.Store(string(c.Config.Schemas)) }

// reloadPolicy reads the configuration again and puts its policy and limits in force; a broken one changes nothing.
func reloadPolicy(ctx context.Context, from config.Sources, again *reloads, v *auth.Verifier, limits *limit.Limits, h *hub.Hub, log *slog.Logger) {
	fresh, err := config.Load(from)
	if err != nil {
		log.LogAttrs(ctx, slog.LevelError, "the changed configuration is broken; the one before stays in force", slog.Any("error", err))
		return
	}
	again.follow(fresh)
	v.SetPolicy(auth.Policy{Roles: fresh.Grants()})
	limits.Set(limitOptions(fresh, log))
	h.LimitReplays(fresh.Limits.Replay.Rate, fresh.Limits.Replay.Burst)
	h.SetSchemas(fresh.Schemas)
	if err := h.SetFields(fieldRules(fresh)); err != nil {
		log.LogAttrs(ctx, slog.LevelError, "the changed policy.fields cannot be put in force", slog.Any("error", err))
	}
	h.Regrant(v.Grant)
	log.LogAttrs(ctx, slog.LevelInfo, "policy, schemas and limits reloaded")
}
