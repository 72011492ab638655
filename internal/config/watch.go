package config

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Watch calls changed each time that file, or a *.json file in the folder that schemas returns, has another size or time
// on disk, looking every second, until ctx ends. The file may be "" and schemas nil for none. It looks instead of listening because an
// editor, a mounted secret and a network share announce changes each in a way of its own.
func Watch(ctx context.Context, file string, schemas func() string, changed func()) {
	if schemas == nil {
		schemas = func() string { return "" }
	}
	last, folder := lookAt(file), schemas()
	lastOf := lookInto(folder)
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		other := false
		if now := lookAt(file); now != last && now != (look{}) {
			last, other = now, true
		}
		// Another folder comes of a configuration that was just read, with the schemas in it.
		if now := schemas(); now != folder {
			folder, lastOf = now, lookInto(now)
		} else if now := lookInto(folder); now != lastOf && now != "" {
			lastOf, other = now, true
		}
		if other {
			changed()
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

// lookInto tells two states of a folder's schemas apart; "" is that of one that cannot be read.
func lookInto(folder string) string {
	if folder == "" {
		return ""
	}
	entries, err := os.ReadDir(folder)
	if err != nil {
		return ""
	}
	var b strings.Builder
	b.WriteString("schemas\n")
	for _, e := range entries {
		if filepath.Ext(e.Name()) == ".json" {
			l := lookAt(filepath.Join(folder, e.Name()))
			fmt.Fprintf(&b, "%q %d %d\n", e.Name(), l.size, l.written.UnixNano())
		}
	}
	return b.String()
}
