package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"runtime/debug"

	"github.com/KimMachineGun/automemlimit/memlimit"
)

// memoryShare of a container's memory is for Go's heap and stacks; the rest is for what Go does not count, such as the
// kernel's pages of the store's files.
const memoryShare = 0.9

// limitMemory has the Go runtime, and with it package limit, know how much memory there is: GOMEMLIMIT, or else what the
// control group of the process allows. Without both there is no limit.
func limitMemory(ctx context.Context, log *slog.Logger) {
	if _, set := os.LookupEnv("GOMEMLIMIT"); !set {
		total, err := memlimit.FromCgroup()
		if err != nil {
			if !errors.Is(err, memlimit.ErrNoCgroup) && !errors.Is(err, memlimit.ErrNoLimit) && !errors.Is(err, memlimit.ErrCgroupsNotSupported) {
				log.LogAttrs(ctx, slog.LevelWarn, "memory is not limited", slog.Any("error", err))
			}
			return
		}
		debug.SetMemoryLimit(int64(float64(total) * memoryShare))
	}
	log.LogAttrs(ctx, slog.LevelInfo, "memory is limited", slog.Int64("bytes", debug.SetMemoryLimit(-1)))
}
