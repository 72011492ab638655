package disk

import (
	"fmt"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.uber.org/goleak"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/engine"
	"github.com/roxyhub/roxy/engine/enginetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// open returns an engine in a directory of its own, closed with the test.
func open(t testing.TB, opts Options) *Engine {
	t.Helper()
	return openAt(t, t.TempDir(), opts)
}

func openAt(t testing.TB, dir string, opts Options) *Engine {
	t.Helper()
	e, err := Open(dir, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

func event(t testing.TB, topic, id string) roxy.Event {
	t.Helper()
	parsed, err := roxy.ParseTopic(topic)
	if err != nil {
		t.Fatal(err)
	}
	return roxy.Event{Topic: parsed, Type: "order:new", By: "waiter-7", ID: id, Data: fmt.Appendf(nil, `{"n":%q}`, id)}
}

func TestContract(t *testing.T) {
	enginetest.Log(t, func(t *testing.T) engine.Log {
		t.Helper()
		return open(t, Options{})
	})
	enginetest.Trimmer(t, func(t *testing.T) enginetest.TrimmableLog {
		t.Helper()
		return open(t, Options{})
	})
	enginetest.Entities(t, func(t *testing.T) enginetest.Stateful {
		t.Helper()
		return open(t, Options{})
	})
	enginetest.Restorer(t, func(t *testing.T) enginetest.Portable {
		t.Helper()
		return open(t, Options{})
	})
	enginetest.Audit(t, func(t *testing.T) enginetest.Audited {
		t.Helper()
		return open(t, Options{Audit: Audit{Publishes: true}})
	})
	attentive := func(t *testing.T) enginetest.Attentive {
		t.Helper()
		return open(t, Options{FS: vfs.NewMem()})
	}
	enginetest.Devices(t, attentive)
	enginetest.Acks(t, attentive)
}
