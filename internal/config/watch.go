package config

import (
	"context"
	"os"
	"time"
)

// Watch calls changed each time that file has another size or time on disk, looking every second, until ctx ends. It
// looks instead of listening because an editor, a mounted secret and a network share announce changes each in a way of
// its own.
func Watch(ctx context.Context, file string, changed func()) {
	last := lookAt(file)
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if now := lookAt(file); now != last && now != (look{}) {
				last = now
				changed()
			}
		}
	}
}

// look tells two states of a file apart.
type look struct {
	size    int64
	written time.Time
}

func lookAt(file string) look {
	info, err := os.Stat(file)
	if err != nil {
		return look{}
	}
	return look{info.Size(), info.ModTime()}
}
