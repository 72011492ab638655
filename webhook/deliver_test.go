package webhook

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/engine"
)

func TestADeadLetterArrivesWhole(t *testing.T) {
	r, e := receive(t), openStore(t, t.TempDir())
	defer closeStore(t, e)
	w, stop := start(t, e, r.url(), nil)
	defer stop()
	at := letters(t, e, "bar", 1)[0]
	d := r.awaitTaken(at)[0]
	if d.id != strings.ReplaceAll(at, ".", "-") || d.body["type"] != "roxy:unacked" || d.tenant() != "bar" || d.body["correlation"] != "bar-0" {
		t.Errorf("got %+v", d)
	}
	if _, err := time.Parse(time.RFC3339Nano, fmt.Sprint(d.body["timestamp"])); err != nil {
		t.Error(err)
	}
	data, ok := d.body["data"].(map[string]any)
	if !ok || data["reason"] != "no-audience" || data["topic"] != "calls/7" {
		t.Errorf("data: %v", d.body["data"])
	}
	if s := awaitDelivered(t, w, 1); s.Delivered != 1 || s.Failures != 0 || s.Lost != 0 || s.Waiting != 0 || s.Lag != 0 {
		t.Errorf("stats: %+v", s)
	}
}

// Whatever the receiver answers and however it fails, each tenant's letters come in order: none before the one that it
// follows was taken.
func TestLettersOfATenantArriveInOrder(t *testing.T) {
	r, e := receive(t), openStore(t, t.TempDir())
	defer closeStore(t, e)
	rng := rand.New(rand.NewPCG(1, 5))
	tries := map[string]int{}
	r.answers(func(w http.ResponseWriter, d *delivery) int {
		letter := d.tenant() + " " + d.cursor()
		tries[letter]++
		if tries[letter] > 3 { // waits grow: a letter without luck would take longer than anybody waits here
			return http.StatusOK
		}
		switch rng.IntN(4) {
		case 0:
			return http.StatusInternalServerError
		case 1:
			w.Header().Set("Location", r.url())
			return http.StatusTemporaryRedirect
		case 2:
			panic(http.ErrAbortHandler) // it breaks off, having the letter or not
		}
		return http.StatusOK
	})
	want := map[string][]string{}
	for _, tenant := range []string{"bar", "pub"} {
		want[tenant] = letters(t, e, tenant, 10) // before it starts …
	}
	_, stop := start(t, e, r.url(), nil)
	defer stop()
	for _, tenant := range []string{"pub", "cafe", "bar"} {
		want[tenant] = append(want[tenant], letters(t, e, tenant, 10)...) // … and while it runs
	}
	var all []string
	for _, cursors := range want {
		all = append(all, cursors...)
	}
	got := map[string][]string{}
	for _, d := range r.awaitTaken(all...) {
		if d.status == http.StatusOK {
			got[d.tenant()] = append(got[d.tenant()], d.cursor())
		}
	}
	for tenant, cursors := range want {
		if !slices.Equal(got[tenant], cursors) {
			t.Errorf("%s: got  %v\nwant %v", tenant, got[tenant], cursors)
		}
	}
}

func TestALetterKeepsItsIDOverRetries(t *testing.T) {
	r, e := receive(t), openStore(t, t.TempDir())
	defer closeStore(t, e)
	statuses := []int{http.StatusGone, http.StatusBadRequest, http.StatusFound, http.StatusServiceUnavailable}
	r.answers(func(http.ResponseWriter, *delivery) int {
		if n := len(r.deliveries); n < len(statuses) {
			return statuses[n]
		}
		return http.StatusAccepted
	})
	w, stop := start(t, e, r.url(), nil)
	defer stop()
	all := r.awaitTaken(letters(t, e, "bar", 1)...)
	for _, d := range all {
		if d.id != all[0].id || d.cursor() != all[0].cursor() {
			t.Errorf("got %+v after %+v", d, all[0])
		}
	}
	if s := awaitDelivered(t, w, 1); s.Failures != uint64(len(statuses)) || s.Delivered != 1 {
		t.Errorf("stats: %+v", s)
	}
}

func TestARefusedLetterHoldsUpNoOtherTenant(t *testing.T) {
	r, e := receive(t), openStore(t, t.TempDir())
	defer closeStore(t, e)
	r.answers(func(_ http.ResponseWriter, d *delivery) int {
		if d.tenant() == "bar" {
			return http.StatusInternalServerError
		}
		return http.StatusOK
	})
	w, stop := start(t, e, r.url(), nil)
	defer stop()
	letters(t, e, "bar", 2)
	r.await("a refused letter", func(all []delivery) bool { return len(all) > 0 })
	r.awaitTaken(letters(t, e, "pub", 5)...)
	if s := w.Stats(); s.Waiting < 2 || s.Lag <= 0 {
		t.Errorf("stats: %+v", s)
	}
}

func TestAReceiverThatWasAwayGetsEverything(t *testing.T) {
	r, e := receive(t), openStore(t, t.TempDir())
	defer closeStore(t, e)
	r.down()
	w, stop := start(t, e, r.url(), nil)
	defer stop()
	cursors := letters(t, e, "bar", 5)
	for w.Stats().Failures < 3 {
		time.Sleep(time.Millisecond)
	}
	r.up()
	for i, d := range r.awaitTaken(cursors...) {
		if d.cursor() != cursors[i] {
			t.Errorf("%s came in the place of %s", d.cursor(), cursors[i])
		}
	}
}

// What retention deletes is told: a letter that was known to wait by its cursor, and what a webhook that was not there
// may have missed by the stretch of the log.
func TestLettersThatRetentionDeletesAreCounted(t *testing.T) {
	dir, r := t.TempDir(), receive(t)
	r.answers(func(http.ResponseWriter, *delivery) int { return http.StatusInternalServerError })
	e := openStore(t, dir)
	w, stop := start(t, e, r.url(), nil)
	cursors := letters(t, e, "bar", 4)
	r.await("the first try", func(all []delivery) bool { return len(all) > 0 })
	trim := func(e engine.Trimmer, to string) {
		t.Helper()
		c, err := roxy.ParseCursor(to)
		if err != nil {
			t.Fatal(err)
		}
		if err := e.Trim(t.Context(), "bar", c.Offset); err != nil {
			t.Fatal(err)
		}
	}
	trim(e, cursors[2]) // the first is in hand, and delivered all the same; the next two are gone
	r.answers(nil)
	r.awaitTaken(cursors[0], cursors[3])
	s := awaitDelivered(t, w, 2)
	stop()
	if s.Lost != 2 || s.Delivered != 2 {
		t.Errorf("stats: %+v", s)
	}
	more := letters(t, e, "bar", 3) // nobody is there
	trim(e, more[1])
	closeStore(t, e)

	e = openStore(t, dir)
	defer closeStore(t, e)
	w, stop = start(t, e, r.url(), nil)
	defer stop()
	r.awaitTaken(more[2])
	if s := w.Stats(); s.Lost != 1 {
		t.Errorf("after a restart: %+v", s)
	}
}

// A position that retention passes while nothing waits is moved along, so that the next start raises no alarm.
func TestRetentionBehindTheLastLetterIsNoLoss(t *testing.T) {
	dir, r := t.TempDir(), receive(t)
	e := openStore(t, dir)
	w, stop := start(t, e, r.url(), nil)
	r.awaitTaken(letters(t, e, "bar", 1)...)
	topic, err := roxy.ParseTopic("orders/1")
	if err != nil {
		t.Fatal(err)
	}
	for range 10 {
		if _, err := e.Commit(t.Context(), "bar", []roxy.Event{{Topic: topic, Type: "order:new", By: "ann", Data: []byte("1")}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := e.Trim(t.Context(), "bar", 8); err != nil {
		t.Fatal(err)
	}
	awaitDelivered(t, w, 1)
	w.settle(t.Context())
	stop()
	closeStore(t, e)

	e = openStore(t, dir)
	defer closeStore(t, e)
	w, stop = start(t, e, r.url(), nil)
	defer stop()
	r.awaitTaken(letters(t, e, "bar", 1)...)
	if s := awaitDelivered(t, w, 1); s.Lost != 0 || s.Delivered != 1 {
		t.Errorf("stats: %+v", s)
	}
}

// The URL may hold a password in any of its parts; its host is enough to find it.
func TestNothingSecretIsLogged(t *testing.T) {
	r, e := receive(t), openStore(t, t.TempDir())
	defer closeStore(t, e)
	var l log
	for _, trouble := range []func(){
		func() {
			r.answers(func(http.ResponseWriter, *delivery) int { return http.StatusInternalServerError })
		},
		r.down,
	} {
		w, stop := start(t, e, strings.Replace(r.url(), "http://", "http://user:pass1@", 1)+"/pass2?key=pass3", &l)
		trouble()
		letters(t, e, "bar", 1)
		for w.Stats().Failures < 3 {
			time.Sleep(time.Millisecond)
		}
		stop()
	}
	text := l.String()
	for _, hidden := range []string{"user", "pass1", "pass2", "pass3", strings.TrimPrefix(secretText, "whsec_"), "table"} {
		if strings.Contains(text, hidden) {
			t.Errorf("%q is in the log:\n%s", hidden, text)
		}
	}
	if !strings.Contains(text, r.address) || !strings.Contains(text, "it answered 500") {
		t.Errorf("the log does not tell of the trouble:\n%s", text)
	}
	r.up() // for its cleanup
}
