package e2e

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"

	"github.com/roxyhub/roxy/internal/testkit"
)

const (
	linearRounds = 16 // each ends with kill -9
	linearUsers  = 3  // with two devices each, and one that speaks WebSocket
	ordersInPlay = 3  // which change every other round
	undecided    = 2 * time.Minute
)

// Whatever the network and the hub's process do, all clients see one order of all that happened to an entity; a commit
// under the guard fields overwrites nothing that its author had not seen, and the log tells each commit once.
func TestMutationsAreLinearizableThroughCutsAndKills(t *testing.T) {
	hub := testkit.Start(t, testkit.Config{})
	g := &game{t: t, hub: hub, relay: startRelay(t, hub), started: time.Now()}
	everybody := []*player{}
	for user := range linearUsers {
		name := fmt.Sprintf("u%d", user)
		for device := range 2 {
			everybody = append(everybody, g.player(name, fmt.Sprintf("d%d", device), (*player).overHTTP))
		}
		everybody = append(everybody, g.player(name, "s", (*player).overSocket))
	}
	for round := range rounds(t, linearRounds) {
		g.topics = nil
		for i := range ordersInPlay {
			g.topics = append(g.topics, fmt.Sprintf("orders/%d-%d", round/2, i))
		}
		stop := make(chan struct{})
		var playing sync.WaitGroup
		for _, p := range everybody {
			playing.Go(func() { p.play(stop) })
		}
		playing.Go(func() {
			for !closed(stop) {
				time.Sleep(time.Duration(rand.IntN(30)) * time.Millisecond)
				g.relay.cut()
			}
		})
		time.Sleep(time.Duration(300+rand.IntN(700)) * time.Millisecond)
		hub.Kill9(t)
		close(stop) // a player leaves when its last operation was answered
		hub.Restart(t)
		playing.Wait()
	}
	counts := map[string]int{}
	for _, op := range g.history {
		counts[op.Output.(verdict).Outcome]++
	}
	t.Logf("%d operations, %d of them repeated or cancelled for want of an answer: %v", len(g.history), g.repeated, counts)
	for _, outcome := range []string{"committed", "version-conflict", "not-found", "found", "cancelled"} {
		if counts[outcome] == 0 {
			t.Errorf("no operation was %s: the test does not try what it should", outcome)
		}
	}
	g.logHasEachCommitOnce()
	for _, lost := range lostUpdates(g.history) {
		t.Error(lost)
	}
	began := time.Now()
	if is := theRules().linearizable(g.history, undecided); is != porcupine.Ok {
		t.Errorf("the history is not linearizable, or it could not be decided within %s: %s", undecided, is)
		t.Log(theRules().contradiction(g.history))
	}
	t.Logf("checked in %s", time.Since(began).Round(time.Millisecond))
	g.checkerCanFail()
}

// rounds is how often a test kills the hub: ROXY_CRASH_ROUNDS, or what is usual.
func rounds(t *testing.T, usual int) int {
	t.Helper()
	s := os.Getenv("ROXY_CRASH_ROUNDS")
	if s == "" {
		return usual
	}
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// game is what all players share.
type game struct {
	t       *testing.T
	hub     *testkit.Hub
	relay   *relay
	topics  []string
	started time.Time

	mu       sync.Mutex
	history  []porcupine.Operation
	repeated int
}

func (g *game) now() int64 { return int64(time.Since(g.started)) }

func (g *game) note(op porcupine.Operation) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.history = append(g.history, op)
}

// player is one device.
type player struct {
	*game
	number       int
	user, device string
	token        string
	client       *http.Client
	socket       net.Conn // nil before it is opened
	seq          uint64
	seen         map[string]verdict // what it read last of each order
	send         func(*player, *write) (answer, error)
	written      int
}

func (g *game) player(user, device string, send func(*player, *write) (answer, error)) *player {
	g.mu.Lock()
	defer g.mu.Unlock()
	transport := &http.Transport{}
	g.t.Cleanup(transport.CloseIdleConnections)
	return &player{
		game: g, number: rand.Int(), user: user, device: device, send: send, seen: map[string]verdict{},
		token:  g.hub.Token(g.t, testkit.Claims{User: user, Roles: []string{"everything"}}),
		client: &http.Client{Transport: transport},
	}
}

// play does one thing after the other until it is told to stop.
func (p *player) play(stop <-chan struct{}) {
	defer func() {
		if p.socket != nil {
			_ = p.socket.Close()
			p.socket = nil
		}
	}()
	for !closed(stop) && !p.t.Failed() {
		topic := p.topics[rand.IntN(len(p.topics))]
		if rand.IntN(3) == 0 {
			p.read(topic)
		} else {
			p.mutate(topic)
		}
		time.Sleep(time.Duration(rand.IntN(2000)) * time.Microsecond)
	}
}

// read notes what is found; one that is not answered says nothing.
func (p *player) read(topic string) {
	began := p.now()
	status, body, err := p.request(http.MethodGet, "/v1/entities/"+topic, "", nil)
	if err != nil || status == http.StatusServiceUnavailable {
		time.Sleep(10 * time.Millisecond)
		return
	}
	v := verdict{Outcome: "not-found"}
	if status != http.StatusNotFound {
		var e struct {
			Version uint64            `json:"version"`
			Data    map[string]string `json:"data"`
		}
		if err := json.Unmarshal(body, &e); err != nil || status != http.StatusOK {
			p.t.Errorf("read %s: %d %s", topic, status, body)
			return
		}
		v = verdict{Outcome: "found", Version: e.Version, Fields: e.Data}
	}
	p.seen[topic] = v
	p.note(porcupine.Operation{ClientId: p.number, Input: reading{topic}, Call: began, Output: v, Return: p.now()})
}

// mutate makes something up and stays with it until it knows what became of it.
func (p *player) mutate(topic string) {
	w := p.invent(topic)
	began := p.now()
	for again := false; ; again = true {
		var a answer
		var err error
		asked := p.now()
		if again && rand.IntN(4) == 0 {
			a, err = p.cancel(w.ID)
		} else {
			a, err = p.send(p, w)
		}
		if err == nil && a.status != http.StatusServiceUnavailable {
			p.conclude(w, a, began, asked)
			return
		}
		p.mu.Lock()
		p.repeated++
		p.mu.Unlock()
		time.Sleep(time.Duration(rand.IntN(20)) * time.Millisecond)
		if p.t.Failed() {
			return
		}
	}
}

// invent makes a mutation up, on top of what the player saw last.
func (p *player) invent(topic string) *write {
	w := &write{
		ID: fmt.Sprintf("%s-%s-%d", p.user, p.device, p.written), Topic: topic, Fields: map[string]string{}, User: p.user,
		Op:    []string{"put", "put", "patch", "patch", "patch", "patch", "patch", "delete"}[rand.IntN(8)],
		Guard: []string{"none", "version", "fields", "fields"}[rand.IntN(4)],
	}
	p.written++
	if rand.IntN(8) > 0 {
		p.seq++
		w.Device, w.Seq = p.device, p.seq
	}
	seen := p.seen[topic]
	if w.Guard != "none" {
		w.Base = seen.Version
	}
	if w.Op == "put" { // who puts sends what it saw, with changes
		maps.Copy(w.Fields, seen.Fields)
	}
	for range 1 + rand.IntN(2) {
		field := fieldNames[rand.IntN(len(fieldNames))]
		switch rand.IntN(4) {
		case 0:
			w.Fields[field] = "ready" // which others say, too
		case 1:
			if w.Op == "patch" {
				w.Fields[field] = ""
			} else {
				delete(w.Fields, field)
			}
		default:
			w.Fields[field] = w.ID
		}
	}
	if w.Op == "delete" {
		w.Fields = nil
	}
	return w
}

// answer is what a hub says of a mutation.
type answer struct {
	status   int
	Status   string          `json:"status"` // of one that is asked for later
	Version  uint64          `json:"version"`
	Problem  json.RawMessage `json:"problem"`
	Results  []answer        `json:"results"`
	conflict struct {
		Code    string   `json:"code"`
		Detail  string   `json:"detail"`
		Fields  []string `json:"fields"`
		Current *struct {
			Version uint64            `json:"version"`
			Data    map[string]string `json:"data"`
		} `json:"current"`
	}
}

// conclude notes what became of a mutation; a conflict shows the entity, which is a reading of its own.
func (p *player) conclude(w *write, a answer, began, asked int64) {
	now := p.now()
	v := verdict{Outcome: "committed", Version: a.Version}
	if a.status != http.StatusOK && a.status != http.StatusCreated {
		v = verdict{Outcome: a.conflict.Code, Clash: slices.Sorted(slices.Values(a.conflict.Fields))}
	}
	if !slices.Contains([]string{"committed", "version-conflict", "not-found", "cancelled"}, v.Outcome) || v.Outcome == "committed" && v.Version == 0 {
		p.t.Errorf("%s: %d %+v", w, a.status, a)
		return
	}
	p.note(porcupine.Operation{ClientId: p.number, Input: w, Call: began, Output: v, Return: now})
	if c := a.conflict.Current; c != nil {
		found := verdict{Outcome: "found", Version: c.Version, Fields: c.Data}
		if c.Data == nil {
			found = verdict{Outcome: "not-found"}
		}
		p.seen[w.Topic] = found
		p.note(porcupine.Operation{ClientId: p.number, Input: reading{w.Topic}, Call: asked, Output: found, Return: now})
	}
}

// overHTTP sends w in one of the two ways; the hub takes both for the same mutation.
func (p *player) overHTTP(w *write) (a answer, err error) {
	var body []byte
	if rand.IntN(2) == 0 {
		a.status, body, err = p.request(http.MethodPost, "/v1/mutations", w.body(), map[string]string{"Content-Type": "application/json"})
		if err == nil && a.status == http.StatusOK {
			err = a.first(body)
		}
	} else {
		header := map[string]string{"Idempotency-Key": w.ID}
		if w.Device != "" {
			header["Roxy-Device"], header["Roxy-Seq"] = w.Device, strconv.FormatUint(w.Seq, 10)
		}
		switch {
		case w.Guard == "version" && w.Base == 0:
			header["If-None-Match"] = "*"
		case w.Guard == "version":
			header["If-Match"] = fmt.Sprintf(`"%d"`, w.Base)
		case w.Guard == "fields":
			header["Roxy-Base"] = strconv.FormatUint(w.Base, 10)
		}
		method := map[string]string{"put": http.MethodPut, "patch": http.MethodPatch, "delete": http.MethodDelete}[w.Op]
		switch w.Op {
		case "put":
			header["Content-Type"] = "application/json"
		case "patch":
			header["Content-Type"] = "application/merge-patch+json"
		}
		a.status, body, err = p.request(method, "/v1/entities/"+w.Topic, w.content(), header)
		if err == nil && a.status < 300 {
			err = json.Unmarshal(body, &a)
		}
	}
	if err == nil && a.status >= 300 {
		err = json.Unmarshal(body, &a.conflict)
	}
	return a, err
}

// first takes the only result out of the answer to a bulk call.
func (a *answer) first(body []byte) error {
	status := a.status
	var all answer
	if err := json.Unmarshal(body, &all); err != nil {
		return err
	}
	if len(all.Results) != 1 {
		return fmt.Errorf("%d results: %s", len(all.Results), body)
	}
	*a = all.Results[0]
	a.status = status
	return nil
}

// cancel asks that a mutation never commits, and is told what became of it.
func (p *player) cancel(id string) (a answer, err error) {
	status, body, err := p.request(http.MethodDelete, "/v1/mutations/"+url.PathEscape(id), "", nil)
	if err != nil || status == http.StatusServiceUnavailable {
		return answer{status: status}, err
	}
	if err := json.Unmarshal(body, &a); err != nil {
		return a, err
	}
	a.status = status
	if a.Status != "committed" {
		a.status = http.StatusConflict
		a.conflict.Code = "cancelled"
		if a.Status == "refused" {
			err = json.Unmarshal(a.Problem, &a.conflict)
		}
	}
	return a, err
}

// overSocket sends w over a WebSocket, which it opens when there is none.
func (p *player) overSocket(w *write) (a answer, err error) {
	if p.socket == nil {
		dialer := ws.Dialer{
			Protocols: []string{"roxy.v1.json"}, Timeout: 5 * time.Second,
			Header: ws.HandshakeHeaderHTTP{"Authorization": {"Bearer " + p.token}},
		}
		conn, buffered, _, err := dialer.Dial(p.t.Context(), "ws"+strings.TrimPrefix(p.relay.URL, "http")+"/v1/ws")
		if err != nil {
			return a, err
		}
		if buffered != nil {
			ws.PutReader(buffered)
		}
		p.socket = conn
	}
	defer func() {
		if err != nil {
			_ = p.socket.Close()
			p.socket = nil
		}
	}()
	if err := p.socket.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return a, err
	}
	if err := wsutil.WriteClientText(p.socket, []byte(`{"op":"mutate","ref":"m","mutations":`+w.body()+`}`)); err != nil {
		return a, err
	}
	for {
		text, err := wsutil.ReadServerText(p.socket)
		if err != nil {
			return a, err
		}
		if bytes.HasPrefix(text, []byte("[")) {
			continue // a goodbye
		}
		var told struct {
			answer
			OK bool `json:"ok"`
		}
		if err := json.Unmarshal(text, &told); err != nil {
			return a, err
		}
		if told.OK {
			if len(told.Results) != 1 {
				return a, fmt.Errorf("%s", text)
			}
			a = told.Results[0]
			a.status = http.StatusOK
			return a, nil
		}
		var problem struct {
			Status int `json:"status"`
		}
		err = errors.Join(json.Unmarshal(told.Problem, &problem), json.Unmarshal(told.Problem, &a.conflict))
		a.status = problem.Status
		return a, err
	}
}

// request sends one over the relay. The answer is whole, or there is an error.
func (p *player) request(method, path, body string, header map[string]string) (status int, answer []byte, err error) {
	ctx, cancel := context.WithTimeout(p.t.Context(), 5*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, p.relay.URL+path, io.NopCloser(strings.NewReader(body))) // so that net/http does not repeat it
	if err != nil {
		return 0, nil, err
	}
	r.ContentLength = int64(len(body))
	if body == "" {
		r.Body = nil
	}
	r.Header.Set("Authorization", "Bearer "+p.token)
	for name, value := range header {
		r.Header.Set(name, value)
	}
	resp, err := p.client.Do(r)
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err = io.ReadAll(resp.Body)
	return resp.StatusCode, answer, err
}

// logHasEachCommitOnce compares the log with what authors were told.
func (g *game) logHasEachCommitOnce() {
	ctx, cancel := context.WithTimeout(g.t.Context(), time.Minute)
	defer cancel()
	s := open(g.t, ctx, g.hub.URL, g.hub.Token(g.t, testkit.Claims{User: "reader", Roles: []string{"everything"}}), url.Values{"topic": {"**"}, "after": {"earliest"}}, "")
	events, _ := s.untilLive(g.t)
	versions, commits := map[string]uint64{}, map[string]uint64{} // by topic; by mutation
	for _, f := range events {
		var e struct {
			Topic    string `json:"topic"`
			Version  uint64 `json:"version"`
			Mutation string `json:"mutation"`
		}
		if err := json.Unmarshal([]byte(f.Data), &e); err != nil {
			g.t.Fatal(err)
		}
		if e.Version != versions[e.Topic]+1 {
			g.t.Errorf("the log has version %d of %s behind version %d", e.Version, e.Topic, versions[e.Topic])
		}
		versions[e.Topic] = e.Version
		if commits[e.Mutation] != 0 {
			g.t.Errorf("the log has %s twice", e.Mutation)
		}
		commits[e.Mutation] = e.Version
	}
	told := 0
	for _, op := range g.history {
		w, writes := op.Input.(*write)
		v := op.Output.(verdict)
		if !writes {
			continue
		}
		if v.Outcome == "committed" {
			told++
		}
		if commits[w.ID] != v.Version {
			g.t.Errorf("the author of %s was told %+v, and the log has it at version %d", w.ID, v, commits[w.ID])
		}
	}
	if told != len(commits) {
		g.t.Errorf("%d commits in the log, and authors were told of %d", len(commits), told)
	}
}

// checkerCanFail holds the history against other rules, and other histories against the rules.
func (g *game) checkerCanFail() {
	forgetful, unguarded := theRules(), theRules()
	forgetful.own = func(*write, cell) bool { return false }
	unguarded.base = func(b uint64) uint64 { return b + 1 }
	for name, broken := range map[string]rules{"a device runs into its own changes": forgetful, "guards one version late": unguarded} {
		if is := broken.linearizable(g.history, undecided); is != porcupine.Illegal {
			g.t.Errorf("%s: the checker says %s", name, is)
		}
	}
	stale := slices.Clone(g.history)
	slices.SortFunc(stale, func(a, b porcupine.Operation) int { return cmp.Compare(a.Return, b.Return) })
	// The last reading that found an order finds what an earlier one did.
	for i := len(stale) - 1; i >= 0; i-- {
		found := stale[i].Output.(verdict)
		at := slices.IndexFunc(stale[:i], func(op porcupine.Operation) bool {
			earlier := op.Output.(verdict)
			return topicOf(op) == topicOf(stale[i]) && earlier.Outcome == "found" && earlier.Version+20 < found.Version
		})
		if found.Outcome != "found" || at < 0 {
			continue
		}
		stale[i].Output = stale[at].Output
		if is := theRules().linearizable(stale, undecided); is != porcupine.Illegal {
			g.t.Errorf("a stale reading: the checker says %s", is)
		}
		return
	}
	g.t.Error("no reading could be made stale")
}
