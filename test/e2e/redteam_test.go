package e2e

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"

	"github.com/roxyhub/roxy/internal/testkit"
)

// hidingPolicy lets the manager alone see some fields of orders and bills. A clerk writes and does not read.
const hidingPolicy = `
    manager: { read: ["**"], publish: ["**"], write: ["**"] }
    waiter:  { read: ["**"], publish: ["calls/*"], write: ["**"] }
    clerk:   { read: ["calls/*"], write: ["orders/*"] }
  fields:
    "orders/*":
      cost: [manager]
      customer.phone: [manager]
      items.cost: [manager]
      lines.*.cost: [manager]
      margin: [manager]
      only.here: [manager]
      deep.er.still: [manager]
      meta.*: [manager]
    "bills/*":
      cost: [manager]
    "**":
      internal: [manager]
`

// billSchema asks something of what is hidden: a bill that costs more than 100 needs an approval.
const billSchema = `{
  "$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Bill", "x-topic": "bills/*", "type": "object",
  "properties": { "cost": { "type": "integer", "maximum": 1000 }, "status": { "enum": ["open", "paid"] }, "approval": { "type": "string" } },
  "required": ["status"],
  "if": { "properties": { "cost": { "minimum": 100 } }, "required": ["cost"] }, "then": { "required": ["approval"] },
  "additionalProperties": false
}`

// secret is in every text that a manager hides.
const secret = "SECRET"

// worlds are what may be at a hidden place: nothing, or whatever it is, in several ways. The salt makes changes.
func worlds() map[string]func(salt int) string {
	return map[string]func(salt int) string{
		"w-numbers": func(salt int) string { return fmt.Sprint(5 + salt) },
		"w-nothing": func(int) string { return "" },
		"w-longish": func(salt int) string { return fmt.Sprintf(`"%s%s%d"`, secret, strings.Repeat("x", 2000), salt) },
		"w-objects": func(salt int) string {
			return fmt.Sprintf(`{"name":"%s","status":[{"cost":%d}],"n%d":{}}`, secret, salt, salt)
		},
		"w-unmoved": func(int) string { return `"` + secret + `"` }, // what changes elsewhere stays the same here
	}
}

// Who may not see a field learns nothing of it: not its value, not whether it is there, not that it changed, by any call,
// guard, size, error or stream. Worlds that differ in hidden things alone give the same answers, byte for byte.
func TestAnswersDependOnNothingThatIsHidden(t *testing.T) {
	schemas := t.TempDir()
	if err := os.WriteFile(filepath.Join(schemas, "bills.json"), []byte(billSchema), 0o600); err != nil {
		t.Fatal(err)
	}
	hub := testkit.Start(t, testkit.Config{Roles: hidingPolicy, YAML: fmt.Sprintf("schemas: %q\n", schemas)})
	spied, managed := map[string][]string{}, map[string][]string{}
	var mu sync.Mutex
	t.Run("worlds", func(t *testing.T) {
		for name, hides := range worlds() {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				w := enter(t, hub, name, hides)
				w.play()
				mu.Lock()
				defer mu.Unlock()
				spied[name], managed[name] = w.transcript, w.managers
			})
		}
	})
	base := spied["w-nothing"]
	t.Logf("%d answers in each of %d worlds", len(base), len(spied))
	for name, answers := range spied {
		for i := range min(len(base), len(answers)) {
			if answers[i] != base[i] {
				from := max(0, parting(answers[i], base[i])-600)
				t.Errorf("%s differs from a world where nothing is hidden, first in answer %d to\n%.300s\n…%.1500s\n--- and there\n…%.1500s",
					name, i, answers[i], answers[i][from:], base[i][min(from, len(base[i])):])
				break
			}
		}
		if len(answers) != len(base) {
			t.Errorf("%s gives %d answers, want %d", name, len(answers), len(base))
		}
		if all := strings.Join(answers, "\n"); strings.Contains(all, secret) {
			t.Errorf("%s tells a secret: %.300s", name, all[max(0, strings.Index(all, secret)-200):])
		}
		// The comparison can fail: it does for who sees everything.
		if seen := strings.Join(managed[name], "\n"); name != "w-nothing" && seen == strings.Join(managed["w-nothing"], "\n") {
			t.Errorf("the manager of %s sees nothing that is hidden from others: the test compares nothing", name)
		}
	}
}

// parting is where two texts begin to differ.
func parting(a, b string) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	return min(len(a), len(b))
}

// world is a tenant where the hidden things are of one kind.
type world struct {
	t          *testing.T
	hub        *testkit.Hub
	name       string
	hides      func(salt int) string
	tokens     map[string]string
	epoch      string
	salt       int
	writes     int
	tablets    int
	transcript []string // what those were told who do not see everything
	managers   []string
}

func enter(t *testing.T, hub *testkit.Hub, name string, hides func(int) string) *world {
	t.Helper()
	w := &world{t: t, hub: hub, name: name, hides: hides, tokens: map[string]string{}}
	for _, role := range []string{"manager", "waiter", "clerk"} {
		w.tokens[role] = hub.Token(t, testkit.Claims{Tenant: name, User: role, Roles: []string{role}})
	}
	first := mustPublish(t, hub.URL, w.tokens["manager"], `{"topic":"calls/1"}`)
	w.epoch = first.Epoch
	return w
}

// member spells a hidden member behind others, or nothing where there is none.
func (w *world) member(name string) string {
	if value := w.hides(w.salt); value != "" {
		return fmt.Sprintf(`,%q:%s`, name, value)
	}
	return ""
}

// alone spells an object that holds hidden things alone, as a member behind others.
func (w *world) alone(name, inner string) string {
	if value := w.hides(w.salt); value != "" {
		return fmt.Sprintf(`,%q:{%q:%s}`, name, inner, value)
	}
	return ""
}

// order is what the manager stores: visible, which is the same everywhere, and hidden things between.
func (w *world) order(visible string) string {
	w.salt++
	deep := ""
	if value := w.hides(w.salt); value != "" {
		deep = fmt.Sprintf(`,"deep":{"er":{"still":%s}}`, value)
	}
	return `{"status":"new"` + visible + `,"customer":{"name":"Ann"` + w.member("phone") + `}` +
		`,"items":[{"sku":"a"` + w.member("cost") + `},{` + strings.TrimPrefix(w.member("cost"), ",") + `},7]` +
		`,"lines":{"l1":{"product":"beer"` + w.member("cost") + `}` + w.alone("l2", "cost") + `}` +
		w.member("cost") + w.member("margin") + w.member("internal") + w.alone("only", "here") + w.alone("meta", "any") + deep + `}`
}

// manage has the manager do something; it is as many commits in every world.
func (w *world) manage(method, path, body string) {
	w.t.Helper()
	header := map[string]string{"Content-Type": "application/json"}
	status, answer, raw := w.ask("manager", method, path, header, body)
	if status >= 300 {
		w.t.Fatalf("%s: the manager's %s %s %.300s: %d %s", w.name, method, path, body, status, raw)
	}
	w.managers = append(w.managers, answer)
}

// spy has somebody else try something, and keeps what is answered.
func (w *world) spy(role, method, path string, header map[string]string, body string) {
	w.t.Helper()
	_, answer, _ := w.ask(role, method, path, header, body)
	w.transcript = append(w.transcript, fmt.Sprintf("%s %s %s %v %.200s\n%s", role, method, path, header, body, answer))
}

// ask sends one request and returns the whole answer, masked.
func (w *world) ask(role, method, path string, header map[string]string, body string) (status int, answer string, raw []byte) {
	w.t.Helper()
	r, err := http.NewRequestWithContext(w.t.Context(), method, w.hub.URL+path, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+w.tokens[role])
	for name, value := range header {
		r.Header.Set(name, value)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	raw, err = io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	var b strings.Builder
	fmt.Fprintln(&b, resp.Status)
	for _, name := range slices.Sorted(maps.Keys(resp.Header)) {
		if name != "Date" && name != "Content-Length" && name != "Ratelimit" { // times differ in length; a bucket fills by time
			fmt.Fprintf(&b, "%s: %s\n", name, strings.Join(resp.Header[name], " | "))
		}
	}
	if method != http.MethodHead && resp.ContentLength >= 0 && resp.ContentLength != int64(len(raw)) {
		fmt.Fprintf(&b, "%d bytes of %d\n", len(raw), resp.ContentLength)
	}
	return resp.StatusCode, w.mask(b.String() + string(raw)), raw
}

var (
	pageToken = regexp.MustCompile(`"page":"([A-Za-z0-9_-]+)"`)
	masks     = []struct {
		what *regexp.Regexp
		with string
	}{
		{regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z`), "TIME"},
		{regexp.MustCompile(`"connection":"[^"]+"`), `"connection":"ID"`},
		{regexp.MustCompile(`"retry(After)?":("[^"]*"|\d+)`), `"retry":JITTER`},
		{regexp.MustCompile(`(?m)^(retry|Retry-After): \d+$`), "retry: JITTER"},
	}
)

// mask puts a word for what differs between any two runs.
func (w *world) mask(s string) string {
	s = pageToken.ReplaceAllStringFunc(s, func(m string) string {
		text, err := base64.RawURLEncoding.DecodeString(pageToken.FindStringSubmatch(m)[1])
		if err != nil {
			return m
		}
		return fmt.Sprintf(`"page":%q`, text)
	})
	s = strings.ReplaceAll(s, w.epoch, "EPOCH")
	for _, m := range masks {
		s = m.what.ReplaceAllString(s, m.with)
	}
	return s
}

// play is the same in every world, but for what the manager hides.
func (w *world) play() {
	for i := range 6 {
		w.manage(http.MethodPut, fmt.Sprintf("/v1/entities/orders/%d", i), w.order(fmt.Sprintf(`,"table":%d`, i)))
	}
	w.manage(http.MethodPut, "/v1/entities/bills/1", w.bill())
	w.manage(http.MethodDelete, "/v1/entities/orders/5", "")
	streams := w.listen("")
	w.reads()
	w.blindWrites()
	w.hiddenChanges()
	w.rebases()
	w.removals()
	w.bulk()
	w.sizes()
	w.bills()
	w.published()
	w.reads()
	for _, path := range []string{"/orders/1", "/bills/1", "?match=orders/*"} {
		w.manage(http.MethodGet, "/v1/entities"+path, "")
	}
	streams = append(streams, w.listen("&after=earliest")...)
	streams = append(streams, w.listen("&snapshot=1")...)
	w.manage(http.MethodPost, "/v1/events", `{"topic":"orders/1","type":"the:end"}`)
	for _, s := range streams {
		w.transcript = append(w.transcript, s())
	}
}

// reads asks for everything there is to read.
func (w *world) reads() {
	for _, role := range []string{"waiter", "clerk"} {
		for i := range 8 {
			path := fmt.Sprintf("/v1/entities/orders/%d", i)
			w.spy(role, http.MethodGet, path, nil, "")
			w.spy(role, http.MethodHead, path, nil, "")
			for _, tag := range []string{`"1"`, `W/"2"`, `"3"`, "*"} {
				w.spy(role, http.MethodGet, path, map[string]string{"If-None-Match": tag}, "")
			}
		}
		for _, query := range []string{
			"match=orders/*", "match=**", "match=orders/*&limit=1", "match=*/1", "match=bills/*", "match=margin/*",
			"match=orders/*&sort=cost", "match=orders/*&cost=5", "match=orders/*&filter=margin", "match=orders/*&fields=cost", "match=orders/*&limit=0",
		} {
			w.spy(role, http.MethodGet, "/v1/entities?"+query, nil, "")
		}
	}
	page := ""
	for range 10 { // page by page
		_, answer, raw := w.ask("waiter", http.MethodGet, "/v1/entities?match=**&limit=1"+page, nil, "")
		w.transcript = append(w.transcript, answer)
		next := pageToken.FindSubmatch(raw)
		if next == nil {
			break
		}
		page = "&page=" + string(next[1])
	}
}

// patches are what somebody may try at hidden places, above, beside and below.
func patches() (all []string) {
	values := []string{"null", "5", `"` + "SEKRET" + `"`, "{}", "[]", `{"x":null}`, `[{"cost":5}]`, `[{"sku":"a"},{},7]`, "true"}
	for _, place := range []string{
		`{"cost":%s}`, `{"customer":%s}`, `{"customer":{"phone":%s}}`, `{"customer":{"phone":{"x":%s}}}`, `{"items":%s}`, `{"lines":%s}`,
		`{"lines":{"l1":%s}}`, `{"lines":{"l1":{"cost":%s}}}`, `{"lines":{"l2":%s}}`, `{"lines":{"l9":{"cost":%s}}}`, `{"margin":%s}`, `{"only":%s}`,
		`{"only":{"here":%s}}`, `{"only":{"there":%s}}`, `{"deep":%s}`, `{"deep":{"er":%s}}`, `{"deep":{"er":{"still":%s}}}`, `{"meta":%s}`, `{"internal":%s}`,
	} {
		for _, value := range values {
			all = append(all, fmt.Sprintf(place, value))
		}
	}
	return all
}

// guards are those of a request about an entity that is at some version.
func guards() []map[string]string {
	return []map[string]string{
		nil,
		{"If-Match": `"1"`},
		{"If-Match": `"99"`},
		{"If-Match": "*"},
		{"If-None-Match": "*"},
		{"Roxy-Base": "0"},
		{"Roxy-Base": "1"},
		{"Roxy-Base": "99"},
	}
}

// blindWrites tries each patch in each form at each place, guards in turn.
func (w *world) blindWrites() {
	g := guards()
	for i, patch := range patches() {
		for j, role := range []string{"waiter", "clerk"} {
			guard := maps.Clone(g[(i+j)%len(g)])
			path := fmt.Sprintf("/v1/entities/orders/%d", 1+(i+j)%6)
			w.write(role, http.MethodPatch, path, guard, patch)
			w.write(role, http.MethodPut, path, guard, strings.Replace(patch, "{", `{"status":"put",`, 1))
		}
		if i%10 == 9 { // all places are filled again
			for n := 1; n < 5; n++ {
				w.manage(http.MethodPut, fmt.Sprintf("/v1/entities/orders/%d", n), w.order(fmt.Sprintf(`,"table":%d`, n)))
			}
		}
	}
}

func (w *world) write(role, method, path string, guard map[string]string, body string) {
	header := map[string]string{"Content-Type": "application/json"}
	if method == http.MethodPatch {
		header["Content-Type"] = "application/merge-patch+json"
	}
	maps.Copy(header, guard)
	w.writes++
	if w.writes%3 == 0 { // a third of them are heard of in a receipt, and asked for later
		id := fmt.Sprintf("m-%d", w.writes)
		header["Idempotency-Key"], header["Roxy-Device"] = id, "tablet"
		defer func() {
			w.spy(role, method, path, header, body)
			w.spy(role, http.MethodPost, "/v1/mutations/status", map[string]string{"Content-Type": "application/json"}, fmt.Sprintf(`{"ids":[%q]}`, id))
			w.spy(role, http.MethodDelete, "/v1/mutations/"+id, nil, "")
		}()
	}
	w.spy(role, method, path, header, body)
}

// hiddenChanges has the manager change hidden things alone, and others write behind that under every guard.
func (w *world) hiddenChanges() {
	for _, body := range []string{
		`{"customer":{"name":"Bob"}}`, `{"customer":null}`, `{"lines":{"l1":{"product":"wine"}}}`, `{"lines":null}`, `{"items":null}`, `{"only":null}`,
		`{"only":{}}`, `{"deep":null}`, `{"meta":null}`, `{"lines":{"l2":null}}`, `{"lines":{"l2":{"product":"tea"}}}`, `{"status":"paid"}`, `{}`,
	} {
		for _, guard := range []string{"Roxy-Base", "If-Match"} {
			version := w.reset("orders/1")
			w.manage(http.MethodPut, "/v1/entities/orders/1", w.order(`,"table":1`))
			value := fmt.Sprint(version)
			if guard == "If-Match" {
				value = fmt.Sprintf(`"%d"`, version)
			}
			w.write("waiter", http.MethodPatch, "/v1/entities/orders/1", map[string]string{guard: value}, body)
			w.spy("waiter", http.MethodGet, "/v1/entities/orders/1", nil, "")
		}
	}
	// A put and a deletion guard all fields.
	for _, method := range []string{http.MethodPut, http.MethodDelete} {
		version := w.reset("orders/1")
		w.manage(http.MethodPut, "/v1/entities/orders/1", w.order(`,"table":1`))
		w.write("waiter", method, "/v1/entities/orders/1", map[string]string{"Roxy-Base": fmt.Sprint(version)}, `{"status":"new","table":2}`)
		w.spy("waiter", http.MethodGet, "/v1/entities/orders/1", nil, "")
	}
}

// reset has the manager store an order with everything in it, and returns its version.
func (w *world) reset(topic string) (version uint64) {
	w.t.Helper()
	w.manage(http.MethodPut, "/v1/entities/"+topic, w.order(`,"table":1`))
	_, _, raw := w.ask("waiter", http.MethodGet, "/v1/entities/"+topic, nil, "")
	if _, err := fmt.Sscanf(string(raw[bytes.Index(raw, []byte(`"version":`)):]), `"version":%d`, &version); err != nil {
		w.t.Fatalf("%s: %v", raw, err)
	}
	return version
}

// rebases has the manager change what is seen beside what is not.
func (w *world) rebases() {
	for _, visible := range []string{`,"table":9`, `,"extra":{"cost":1}`} {
		for _, body := range []string{`{"table":3}`, `{"status":"ready"}`, `{"customer":{"name":"Cem"}}`, `{"extra":null}`} {
			version := w.reset("orders/2")
			w.manage(http.MethodPut, "/v1/entities/orders/2", w.order(visible))
			w.write("waiter", http.MethodPatch, "/v1/entities/orders/2", map[string]string{"Roxy-Base": fmt.Sprint(version)}, body)
			w.write("clerk", http.MethodPatch, "/v1/entities/orders/2", map[string]string{"Roxy-Base": fmt.Sprint(version)}, body)
		}
	}
}

// removals deletes, and creates anew on top of what was there.
func (w *world) removals() {
	for _, again := range []string{`{"status":"again"}`, `{"customer":{"name":"Dee"}}`, `{"items":[]}`, `{"lines":{}}`, `{"lines":{"l1":{}}}`, `{"only":{}}`, `{"only":5}`} {
		w.reset("orders/3")
		w.write("waiter", http.MethodDelete, "/v1/entities/orders/3", nil, "")
		w.write("waiter", http.MethodPatch, "/v1/entities/orders/3", nil, again)
		w.write("waiter", http.MethodPut, "/v1/entities/orders/3", map[string]string{"Roxy-Base": "1"}, again)
		w.write("waiter", http.MethodPut, "/v1/entities/orders/3", nil, again)
		w.spy("waiter", http.MethodGet, "/v1/entities/orders/3", nil, "")
		w.reset("orders/3")
		w.manage(http.MethodDelete, "/v1/entities/orders/3", "")
		w.write("clerk", http.MethodPut, "/v1/entities/orders/3", map[string]string{"If-None-Match": "*"}, again)
	}
}

// bulk tries several mutations at once.
func (w *world) bulk() {
	w.reset("orders/1")
	w.reset("orders/2")
	fine := `{"op":"patch","topic":"orders/1","patch":{"status":"bulk"}}`
	for _, other := range []string{
		`{"op":"patch","topic":"orders/2","patch":{"cost":5}}`, `{"op":"patch","topic":"orders/2","patch":{"customer":null},"guard":"fields","base":1}`,
		`{"op":"put","topic":"orders/2","data":{"only":{"here":1}},"id":"b1"}`, `{"op":"delete","topic":"orders/2","guard":"fields","base":1,"id":"b2"}`,
		`{"op":"patch","topic":"orders/2","patch":{"items":[]},"id":"b3"}`, `{"op":"put","topic":"orders/2","data":{"lines":5}}`,
		`{"op":"patch","topic":"orders/2","patch":{"lines":{"l1":{"product":"gin"}}},"guard":"version","base":1}`, fine,
	} {
		w.spy("waiter", http.MethodPost, "/v1/mutations", map[string]string{"Content-Type": "application/json"}, "["+fine+","+other+"]")
	}
	w.spy("waiter", http.MethodPost, "/v1/mutations/status", map[string]string{"Content-Type": "application/json"}, `{"ids":["b1","b2","b3","b4"]}`)
}

// sizes goes to the limits, which count what the author sees.
func (w *world) sizes() {
	w.reset("orders/4")
	_, _, raw := w.ask("waiter", http.MethodGet, "/v1/entities/orders/4", nil, "")
	data := raw[bytes.Index(raw, []byte(`"data":`))+len(`"data":`):]
	seen := bytes.Index(data, []byte(`,"time"`))
	for around := -4; around <= 4; around++ {
		fill := 64<<10 - seen - len(`,"fill":""`) + around
		for _, part := range []int{fill / 2, fill} { // in two steps, so that no single mutation is too large
			w.write("waiter", http.MethodPatch, "/v1/entities/orders/4", nil, fmt.Sprintf(`{"fill":"%s"}`, strings.Repeat("f", part)))
		}
	}
	for _, n := range []int{980, 990, 994, 995, 996, 997, 998, 1000, 1001} {
		fields := make([]string, n)
		for i := range fields {
			fields[i] = fmt.Sprintf(`"f%d":1`, i)
		}
		w.reset("orders/4")
		w.write("waiter", http.MethodPatch, "/v1/entities/orders/4", nil, "{"+strings.Join(fields, ",")+"}")
	}
	w.reset("orders/4")
}

// bill is one that the schema takes, whatever it costs.
func (w *world) bill() string {
	w.salt++
	cost := map[string]string{"w-numbers": `,"cost":5`, "w-nothing": "", "w-longish": `,"cost":500`, "w-objects": fmt.Sprintf(`,"cost":%d`, 900+w.salt%2), "w-unmoved": `,"cost":100`}[w.name]
	return `{"status":"open","approval":"the boss"` + cost + `}`
}

// bills tries what a schema asks of hidden things.
func (w *world) bills() {
	for _, body := range []string{
		`{"approval":null}`, `{"cost":null}`, `{"cost":5}`, `{"status":null}`, `{"status":"other"}`, `{"approval":7}`, `{"more":1}`, `{"status":"paid","approval":null}`,
	} {
		w.manage(http.MethodPut, "/v1/entities/bills/1", w.bill())
		w.write("waiter", http.MethodPatch, "/v1/entities/bills/1", nil, body)
		w.write("waiter", http.MethodPut, "/v1/entities/bills/1", nil, `{"status":"open"}`)
		w.write("waiter", http.MethodPut, "/v1/entities/bills/1", nil, body)
		w.spy("waiter", http.MethodGet, "/v1/entities/bills/1", nil, "")
	}
	w.manage(http.MethodPut, "/v1/entities/bills/1", w.bill())
}

// published has the manager publish on the topics of orders.
func (w *world) published() {
	inner := w.order("")
	for _, data := range []string{inner, "[" + inner + "]", "[[" + inner + "," + inner + "]]", `"text"`, "7", `{"customer":[{"name":"x"` + w.member("phone") + `}]}`} {
		w.manage(http.MethodPost, "/v1/events", fmt.Sprintf(`{"topic":"orders/1","type":"order:told","data":%s}`, data))
	}
}

// listen opens streams of every kind, and returns what they were given until the end, receipts apart.
func (w *world) listen(query string) (given []func() string) {
	plain := &http.Client{Transport: &http.Transport{DisableCompression: true}}
	w.t.Cleanup(plain.CloseIdleConnections)
	for _, client := range []*http.Client{plain, http.DefaultClient} { // the default one asks for gzip by itself
		w.tablets++ // a device has one stream
		for _, q := range []string{fmt.Sprintf("topic=**&device=tablet-%d", w.tablets), "topic=orders/*", "topic=orders/1&topic=bills/*", "topic=**&type=entity:updated&type=the:end"} {
			values, err := url.ParseQuery(q + query)
			if err != nil {
				w.t.Fatal(err)
			}
			given = append(given, w.hear(client, values))
		}
	}
	subscribe := `"topic":["**"]`
	switch query {
	case "&after=earliest":
		subscribe += `,"after":"earliest"`
	case "&snapshot=1":
		subscribe += `,"snapshot":true`
	}
	return append(given, w.hearSocket(subscribe))
}

// hear reads a stream until the end in the background.
func (w *world) hear(client *http.Client, query url.Values) func() string {
	ctx, cancel := context.WithTimeout(w.t.Context(), time.Minute)
	s, err := tryOpenWith(ctx, client, w.hub.URL, w.tokens["waiter"], query, "")
	if err != nil {
		cancel()
		w.t.Fatal(err)
	}
	live := make(chan struct{})
	var h hearing
	h.run(func() {
		defer cancel()
		defer func() { _ = s.body.Close() }()
		var event strings.Builder
		for {
			line, err := s.lines.ReadString('\n')
			if event.WriteString(line); line == "\n" || err != nil {
				if strings.Contains(event.String(), "event: roxy:live") {
					close(live)
				}
				if h.add(event.String()) {
					return
				}
				if err != nil {
					w.t.Errorf("%s: a stream ended before the end: %v", w.name, err)
					return
				}
				event.Reset()
			}
		}
	})
	<-live
	return func() string { return h.told(w, "SSE "+query.Encode()) }
}

// hearSocket does the same over a WebSocket.
func (w *world) hearSocket(subscribe string) func() string {
	dialer := ws.Dialer{Protocols: []string{"roxy.v1.json"}, Header: ws.HandshakeHeaderHTTP{"Authorization": {"Bearer " + w.tokens["waiter"]}}}
	conn, buffered, _, err := dialer.Dial(w.t.Context(), "ws"+strings.TrimPrefix(w.hub.URL, "http")+"/v1/ws")
	if err != nil {
		w.t.Fatal(err)
	}
	if buffered != nil {
		ws.PutReader(buffered)
	}
	if err := wsutil.WriteClientText(conn, []byte(`{"op":"subscribe","ref":"s",`+subscribe+`}`)); err != nil {
		w.t.Fatal(err)
	}
	live := make(chan struct{})
	var h hearing
	h.run(func() {
		defer func() { _ = conn.Close() }()
		for {
			text, err := wsutil.ReadServerText(conn)
			if err != nil {
				h.add(err.Error())
				return
			}
			// How many events share a message is a matter of time.
			for event := range strings.SplitSeq(strings.Trim(string(text), "[]"), `},{"`) {
				if strings.Contains(event, `"event":"roxy:live"`) {
					close(live)
				}
				if h.add(event) {
					return
				}
			}
		}
	})
	<-live
	return func() string { return h.told(w, "WebSocket "+subscribe) }
}

// hearing collects what one stream is given.
type hearing struct {
	reading  sync.WaitGroup
	events   []string
	receipts []string // they come when they come
}

func (h *hearing) run(read func()) { h.reading.Go(read) }

// add keeps an event and reports whether it was the last one.
func (h *hearing) add(event string) (last bool) {
	switch {
	case strings.Contains(event, "roxy:receipt"):
		h.receipts = append(h.receipts, event)
	case !strings.Contains(event, "roxy:heartbeat"):
		h.events = append(h.events, event)
	}
	return strings.Contains(event, "the:end") && !strings.Contains(event, "roxy:")
}

func (h *hearing) told(w *world, name string) string {
	h.reading.Wait()
	slices.Sort(h.receipts)
	return w.mask(fmt.Sprintf("%s\n%d events, %d receipts\n%s\n%s", name, len(h.events), len(h.receipts), strings.Join(h.events, ""), strings.Join(h.receipts, "")))
}
