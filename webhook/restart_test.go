package webhook

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/engine"
	"github.com/roxyhub/roxy/engine/disk"
)

// The test binary runs itself as a hub that is to be killed.
const (
	childDir = "ROXY_TEST_WEBHOOK_DIR"
	childURL = "ROXY_TEST_WEBHOOK_URL"
)

// child makes dead letters for as long as it lives, and prints the cursor of each.
func child(dir, url string) {
	fail := func(err error) {
		if err != nil {
			fmt.Println("failed:", err)
			os.Exit(1)
		}
	}
	e, err := disk.Open(dir, disk.Options{})
	fail(err)
	key, err := ParseSecret(secretText)
	fail(err)
	_, err = Start(context.Background(), e, Options{URL: url, Secret: key, firstWait: time.Millisecond})
	fail(err)
	for {
		cursor, err := abandon(context.Background(), e, "bar", "")
		fail(err)
		fmt.Println(cursor)
		time.Sleep(time.Millisecond)
	}
}

// A hub that is killed at any moment, the one of its very first dead letter included, has delivered each letter or does
// so after the next start, in order.
func TestKillNineLosesNoDeadLetter(t *testing.T) {
	dir, r := t.TempDir(), receive(t)
	n := 0
	r.answers(func(http.ResponseWriter, *delivery) int { // every third at first, so that some wait at any time
		if n++; n%3 != 0 {
			return http.StatusServiceUnavailable
		}
		return http.StatusOK
	})
	var made []string
	for round := range 6 {
		cmd := exec.CommandContext(t.Context(), os.Args[0]) //nolint:gosec // this test
		cmd.Env = append(os.Environ(), childDir+"="+dir, childURL+"="+r.url())
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for range 1 + 4*round { // the first round ends with the first letter
			if !lines.Scan() || strings.HasPrefix(lines.Text(), "failed") {
				t.Fatalf("round %d: %q %v", round, lines.Text(), lines.Err())
			}
			made = append(made, lines.Text())
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		for lines.Scan() {
			made = append(made, lines.Text())
		}
		_ = cmd.Wait() // it was killed
	}
	e := openStore(t, dir)
	defer closeStore(t, e)
	_, stop := start(t, e, r.url(), nil)
	defer stop()
	var taken []string // each once, as a receiver that knows the ids would see it
	for _, d := range r.awaitTaken(made...) {
		if d.status == http.StatusOK && !slices.Contains(taken, d.cursor()) {
			taken = append(taken, d.cursor())
		}
	}
	taken = slices.DeleteFunc(taken, func(c string) bool { return !slices.Contains(made, c) }) // nobody was told of it
	if !slices.Equal(taken, made) {
		t.Errorf("got  %v\nwant %v", taken, made)
	}
}

// The moments of a crash around the first dead letter of a tenant, each as the store looks after it.
func TestTheFirstDeadLetterIsDeliveredAfterACrash(t *testing.T) {
	for name, before := range map[string]func(t *testing.T, e *disk.Engine, b engine.Bounds){
		"before there was a position": func(*testing.T, *disk.Engine, engine.Bounds) {},
		"behind the position, before the delivery was noted": func(t *testing.T, e *disk.Engine, b engine.Bounds) {
			t.Helper()
			d := roxy.Device{Name: positionDevice, User: positionUser, Cursor: roxy.Cursor{Epoch: b.Epoch, Offset: b.First - 1}}
			if _, err := e.Register(t.Context(), "bar", d, 0); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			r, e := receive(t), openStore(t, t.TempDir())
			defer closeStore(t, e)
			cursors := letters(t, e, "bar", 2)
			b, err := e.Bounds(t.Context(), "bar")
			if err != nil {
				t.Fatal(err)
			}
			before(t, e, b)
			_, stop := start(t, e, r.url(), nil)
			defer stop()
			r.awaitTaken(cursors...)
		})
	}
}

func TestWhatWasDeliveredIsNotSentAfterARestart(t *testing.T) {
	dir, r := t.TempDir(), receive(t)
	var want []string
	for range 3 {
		e := openStore(t, dir)
		_, stop := start(t, e, r.url(), nil)
		want = append(want, letters(t, e, "bar", 3)...)
		r.awaitTaken(want...)
		for { // until the last position is noted
			list, err := e.Devices(t.Context(), "bar")
			if err != nil {
				t.Fatal(err)
			}
			if len(list) == 1 && list[0].Name == positionDevice && list[0].Cursor.String() == want[len(want)-1] {
				break
			}
		}
		stop()
		closeStore(t, e)
	}
	var got []string
	for _, d := range r.awaitTaken(want...) {
		got = append(got, d.cursor())
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

// A log that begins anew, as after an import that was given up, has dead letters of its own.
func TestALogThatBeganAnewIsFollowedFromItsBeginning(t *testing.T) {
	r, e := receive(t), openStore(t, t.TempDir())
	defer closeStore(t, e)
	old := roxy.Device{Name: positionDevice, User: positionUser, Cursor: roxy.Cursor{Epoch: "before", Offset: 1000}}
	if _, err := e.Register(t.Context(), "bar", old, 0); err != nil {
		t.Fatal(err)
	}
	cursors := letters(t, e, "bar", 2)
	_, stop := start(t, e, r.url(), nil)
	defer stop()
	r.awaitTaken(append(cursors, letters(t, e, "bar", 2)...)...)
}

// The position is a device in the engine alone: no critical event waits for it.
func TestThePositionIsNoTargetOfCriticalEvents(t *testing.T) {
	r, e := receive(t), openStore(t, t.TempDir())
	defer closeStore(t, e)
	_, stop := start(t, e, r.url(), nil)
	defer stop()
	r.awaitTaken(letters(t, e, "bar", 1)...)
	for _, d := range r.awaitTaken(letters(t, e, "bar", 1)...) { // by now there is a position
		data, ok := d.body["data"].(map[string]any)
		if !ok || data["reason"] != "no-audience" || data["targets"] != 0.0 {
			t.Errorf("data: %v", d.body["data"])
		}
	}
}
