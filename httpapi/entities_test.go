package httpapi

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/auth"
	"github.com/roxyhub/roxy/hub"
	"github.com/roxyhub/roxy/limit"
)

// unbounded are limits that no test of entities runs into.
func unbounded() limit.Options {
	return limit.Options{PublishRate: -1, PublishTenantRate: -1, AckRate: -1}
}

// put, patch and drop write one entity; header alternates names and values.
func put(path, body string, header ...string) call {
	return writing(http.MethodPut, path, body, append([]string{"Content-Type", "application/json"}, header...))
}

func patch(path, body string, header ...string) call {
	return writing(http.MethodPatch, path, body, append([]string{"Content-Type", "application/merge-patch+json"}, header...))
}

func drop(path string, header ...string) call { return writing(http.MethodDelete, path, "", header) }

func writing(method, path, body string, header []string) call {
	c := call{method: method, path: "/v1/entities/" + path, header: make(map[string]string), body: body}
	for i := 0; i < len(header); i += 2 {
		c.header[header[i]] = header[i+1]
	}
	return c
}

func read(path string, header ...string) call { return writing(http.MethodGet, path, "", header) }

func bulk(body string) call { return call{http.MethodPost, "/v1/mutations", nil, body} }

// hide has waiters see nothing of customer.phone and cost of orders.
func (s *site) hide(t *testing.T) {
	t.Helper()
	var rules []hub.FieldRule
	for _, name := range []string{"customer.phone", "cost"} {
		path, err := roxy.ParseFieldPath(name)
		if err != nil {
			t.Fatal(err)
		}
		rules = append(rules, hub.FieldRule{Pattern: pattern(t, "orders/*"), Path: path, Roles: []string{"manager"}})
	}
	if err := s.hub.SetFields(rules); err != nil {
		t.Fatal(err)
	}
}

// as is the header of another token.
func as(t *testing.T, change func(*auth.Claims)) string {
	t.Helper()
	return "Bearer " + sign(t, change)
}

func fileOf(kind, name string) string {
	return filepath.Join("testdata", kind, strings.NewReplacer(" ", "-", ",", "", ":", "").Replace(name)+".http")
}

// Each successful answer about entities, byte for byte, in the order that they were asked for.
func TestEntityAnswers(t *testing.T) {
	s := open(t, unbounded(), nil)
	s.hide(t)
	manager := as(t, func(c *auth.Claims) { c.User, c.Roles = "u1", []string{"manager"} })
	for _, step := range []struct {
		name string
		call call
	}{
		{"entity created", put("orders/1", `{"status":"new","table":12,"note":null,"n":1e400}`)},
		{"entity replaced", put("orders/1", `{"table":12,"status":"sent"}`, "If-Match", `"1"`)},
		{"entity patched", patch("orders/1", `{"note":"no ice","table":null}`, "Roxy-Base", "2")},
		{"entity patched by whoever", patch("orders/1", `{"waiter":"u7"}`, "If-Match", "*")},
		{"entity", read("orders/1")},
		{"entity by HEAD", call{http.MethodHead, "/v1/entities/orders/1", nil, ""}},
		{"entity not modified", read("orders/1", "If-None-Match", `"4"`)},
		{"entity not modified, one of a list", read("orders/1", "If-None-Match", `"1", W/"4"`)},
		{"entity not modified, any", read("orders/1", "If-None-Match", `*`)},
		{"entity not modified by HEAD", call{http.MethodHead, "/v1/entities/orders/1", map[string]string{"If-None-Match": `"4"`}, ""}},
		{"entity modified", read("orders/1", "If-None-Match", `"3"`)},
		{"entity by an encoded slash", read("orders%2F1")},
		{"entity written with a key", put("orders/1", `{"status":"paid"}`, "Idempotency-Key", `"k1"`, "Roxy-Device", "tablet-1", "Roxy-Seq", "7", "Roxy-Type", "order:paid", "Roxy-Correlation", "c1")},
		{"entity written with a key again", put("orders/1", `{"status":"paid"}`, "Idempotency-Key", "k1", "Roxy-Device", "tablet-1", "Roxy-Seq", "7", "Roxy-Type", "order:paid", "Roxy-Correlation", "c1")},
		{"entity written with equal values", patch("orders/1", `{"status":"paid"}`)},
		{"entity deleted", drop("orders/1", "If-Match", `"6"`)},
		{"entity created where one was deleted", put("orders/1", `{}`, "If-None-Match", "*")},
		{"entity created at version 0", put("orders/2", `{"a":1}`, "Roxy-Base", "0")},
		{"entity with hidden fields, written by who sees them", put("orders/3", `{"a":1,"cost":3,"customer":{"name":"Ada","phone":"1"}}`, "Authorization", manager)},
		{"entity with hidden fields, replaced by who does not", put("orders/3", `{"customer":{"name":"Eve"}}`)},
		{"entity with hidden fields, in part", read("orders/3")},
		{"entity with hidden fields, whole", read("orders/3", "Authorization", manager)},
		{"a mutation", bulk(`{"op":"put","topic":"orders/4","data":{"a":1}}`)},
		{"some mutations", bulk(`[{"id":"m1","op":"put","topic":"orders/5","data":{"a":1}},{"op":"patch","topic":"orders/5","patch":{"b":2},"guard":"version","base":1},{"op":"delete","topic":"orders/4","guard":"fields","base":1}]`)},
		{"a mutation again", bulk(`[{"id":"m1","op":"put","topic":"orders/5","data":{ "a" : 1 }}]`)},
		{"a mutation by a key of the header", call{http.MethodPost, "/v1/mutations", map[string]string{"Idempotency-Key": "m1"}, `{"op":"put","topic":"orders/5","data":{"a":1}}`}},
		{"a mutation cancelled before it came", call{method: http.MethodDelete, path: "/v1/mutations/early"}},
		{"a mutation cancelled after it committed", call{method: http.MethodDelete, path: "/v1/mutations/m1"}},
		{"a mutation whose id is status, cancelled", call{method: http.MethodDelete, path: "/v1/mutations/status"}},
		{"a mutation of an escaped id, cancelled", call{method: http.MethodDelete, path: "/v1/mutations/a%2Fb%20%C3%B6"}},
		{"what became of mutations", call{http.MethodPost, "/v1/mutations/status", nil, `{"ids":["m1","early","never","k1","status","a/b ö"]}`}},
		{"no entities", call{path: "/v1/entities?match=orders/none/*"}},
		{"entities", call{path: "/v1/entities?match=orders/*"}},
		{"entities, the first page", call{path: "/v1/entities?match=orders/*&limit=2"}},
		{"entities by HEAD", call{method: http.MethodHead, path: "/v1/entities?match=orders/*"}},
		{"the methods of an entity", call{method: http.MethodOptions, path: "/v1/entities/orders/1"}},
		{"the methods of mutations", call{method: http.MethodOptions, path: "/v1/mutations"}},
		{"the methods of a mutation", call{method: http.MethodOptions, path: "/v1/mutations/m1"}},
		{"the methods of entities", call{method: http.MethodOptions, path: "/v1/entities"}},
	} {
		t.Run(step.name, func(t *testing.T) { golden(t, fileOf("answers", step.name), s.answer(t, step.call)) })
	}
}

// Each refusal of a call about entities, byte for byte. None of them changes anything.
func TestEntityRefusals(t *testing.T) {
	s := open(t, unbounded(), func(o *Options) { o.MaxBatch = 5 })
	s.hide(t)
	manager := as(t, func(c *auth.Claims) { c.User, c.Roles = "u1", []string{"manager"} })
	blind := as(t, func(c *auth.Claims) { c.User, c.Grant.Read = "u2", []roxy.Pattern{pattern(t, "menu/*")} })
	for _, c := range []call{
		put("orders/1", `{"status":"new","table":12}`, "Idempotency-Key", "used"),
		patch("orders/1", `{"status":"sent"}`, "Authorization", manager),
		put("orders/gone", `{"a":1}`),
		drop("orders/gone"),
		put("orders/secret", `{"a":1,"cost":3,"list":[1],"customer":{"name":"Ada","phone":"1"}}`, "Authorization", manager),
		{method: http.MethodDelete, path: "/v1/mutations/stopped"},
	} {
		if got := s.answer(t, c); !strings.HasPrefix(got, "20") {
			t.Fatal(got)
		}
	}
	state := func() string { return s.answer(t, call{path: "/v1/entities?match=orders/**"}) }
	before := state()
	one := func(more string) call { return bulk(`{"op":"put","topic":"orders/1","data":{}` + more + `}`) }
	fields := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, `,"f%d":1`, i)
		}
		return "{" + b.String()[1:] + "}"
	}
	for name, c := range map[string]call{
		"entity without identity":                 put("orders/1", `{}`, "Authorization", ""),
		"entity read without identity":            read("orders/1", "Authorization", ""),
		"entities without identity":               {path: "/v1/entities?match=orders/*", header: map[string]string{"Authorization": ""}},
		"mutation without identity":               {http.MethodPost, "/v1/mutations", map[string]string{"Authorization": ""}, "{"},
		"status without identity":                 {http.MethodPost, "/v1/mutations/status", map[string]string{"Authorization": ""}, "{"},
		"cancel without identity":                 {http.MethodDelete, "/v1/mutations/x", map[string]string{"Authorization": ""}, ""},
		"entity not found":                        read("orders/none"),
		"entity deleted, not found":               read("orders/gone"),
		"entity forbidden to read":                read("tables/1"),
		"entity forbidden to write":               put("tables/1", `{}`),
		"entity that others may read":             put("orders/deep/1", `{}`),
		"entity reserved":                         put("roxy/dead-letters", `{}`, "Authorization", as(t, func(c *auth.Claims) { c.Grant.Write = []roxy.Pattern{pattern(t, "**")} })),
		"entity without topic":                    read(""),
		"entity of an empty segment":              put("orders//1", `{}`),
		"entity of an encoded empty segment":      put("orders%2F%2F1", `{}`),
		"entity of dots":                          put("orders/../1", `{}`),
		"entity of a dot":                         put("orders/./1", `{}`),
		"entity of encoded dots":                  put("orders/%2e%2e", `{}`),
		"entity of a space":                       read("orders/a%20b"),
		"entity of a wildcard":                    read("orders/*"),
		"entity of a trailing slash":              read("orders/1/"),
		"entity by POST":                          {http.MethodPost, "/v1/entities/orders/1", nil, `{}`},
		"entities by PUT":                         {http.MethodPut, "/v1/entities", nil, `{}`},
		"mutations by GET":                        {path: "/v1/mutations"},
		"mutation by GET":                         {path: "/v1/mutations/m1"},
		"put of a merge patch":                    put("orders/1", `{}`, "Content-Type", "application/merge-patch+json"),
		"patch of application-json":               patch("orders/1", `{}`, "Content-Type", "application/json"),
		"patch of a JSON patch":                   patch("orders/1", `[]`, "Content-Type", "application/json-patch+json"),
		"put of a form":                           put("orders/1", `a=1`, "Content-Type", "application/x-www-form-urlencoded"),
		"put without media type":                  put("orders/1", `{}`, "Content-Type", ""),
		"put in Latin-1":                          put("orders/1", `{}`, "Content-Type", "application/json; charset=iso-8859-1"),
		"put of a packed body":                    put("orders/1", `{}`, "Content-Encoding", "gzip"),
		"mutation as a form":                      {http.MethodPost, "/v1/mutations", map[string]string{"Content-Type": "text/plain"}, `{}`},
		"status as a form":                        {http.MethodPost, "/v1/mutations/status", map[string]string{"Content-Type": "text/plain"}, `{}`},
		"put of nothing":                          put("orders/1", ``),
		"put of null":                             put("orders/1", `null`),
		"put of an array":                         put("orders/1", `[]`),
		"put of two objects":                      put("orders/1", `{}{}`),
		"put of a name given twice":               put("orders/1", `{"a":{"b":1,"b":2}}`),
		"put of a lone surrogate":                 put("orders/1", `{"a":"\ud800"}`),
		"put too deep":                            put("orders/1", strings.Repeat(`{"a":`, 65)+"1"+strings.Repeat("}", 65)),
		"put too large":                           put("orders/1", `{"a":"`+strings.Repeat("x", 64<<10)+`"}`),
		"put of too many fields":                  put("orders/1", fields(roxy.MaxFields+1)),
		"patch to too many fields":                patch("orders/1", fields(roxy.MaxFields)),
		"patch of nothing there":                  patch("orders/none", `{"a":1}`),
		"patch of what was deleted":               patch("orders/gone", `{"a":1}`),
		"delete of nothing there":                 drop("orders/none"),
		"delete of what was deleted":              drop("orders/gone"),
		"patch of what was deleted, by version":   patch("orders/gone", `{"a":1}`, "If-Match", `"1"`),
		"If-Match of another version":             put("orders/1", `{}`, "If-Match", `"1"`),
		"If-Match of nothing there":               put("orders/none", `{}`, "If-Match", "*"),
		"If-Match of what was deleted":            put("orders/gone", `{}`, "If-Match", "*"),
		"If-Match of a future version":            put("orders/1", `{}`, "If-Match", `"99"`),
		"If-None-Match of what is there":          put("orders/1", `{}`, "If-None-Match", "*"),
		"Roxy-Base of a changed field":            patch("orders/1", `{"status":"ready","table":13}`, "Roxy-Base", "1"),
		"Roxy-Base of a future version":           patch("orders/1", `{"table":13}`, "Roxy-Base", "99"),
		"delete of changed fields":                drop("orders/1", "Roxy-Base", "1"),
		"If-Match of who may not read":            put("orders/1", `{}`, "If-Match", `"1"`, "Authorization", blind),
		"If-Match of who sees a part":             put("orders/secret", `{}`, "If-Match", `"9"`),
		"If-Match as a list":                      put("orders/1", `{}`, "If-Match", `"2", "3"`),
		"If-Match of a weak tag":                  put("orders/1", `{}`, "If-Match", `W/"2"`),
		"If-Match without quotes":                 put("orders/1", `{}`, "If-Match", `2`),
		"If-Match of version 0":                   put("orders/1", `{}`, "If-Match", `"0"`),
		"If-Match out of range":                   put("orders/1", `{}`, "If-Match", `"9007199254740992"`),
		"If-None-Match of a version":              put("orders/1", `{}`, "If-None-Match", `"2"`),
		"Roxy-Base below zero":                    put("orders/1", `{}`, "Roxy-Base", `-1`),
		"Roxy-Base with a sign":                   put("orders/1", `{}`, "Roxy-Base", `+1`),
		"Roxy-Base out of range":                  put("orders/1", `{}`, "Roxy-Base", `9007199254740992`),
		"two guards":                              put("orders/1", `{}`, "If-Match", `"2"`, "Roxy-Base", "2"),
		"Roxy-Seq without device":                 put("orders/1", `{}`, "Roxy-Seq", "1"),
		"Roxy-Seq of a word":                      put("orders/1", `{}`, "Roxy-Seq", "one", "Roxy-Device", "d"),
		"Roxy-Device of a dot":                    put("orders/1", `{}`, "Roxy-Device", "a.b"),
		"Roxy-Type reserved":                      put("orders/1", `{}`, "Roxy-Type", "roxy:hello"),
		"Roxy-Correlation too long":               put("orders/1", `{}`, "Roxy-Correlation", strings.Repeat("x", 129)),
		"Idempotency-Key too long":                put("orders/1", `{}`, "Idempotency-Key", strings.Repeat("x", 129)),
		"entity's key reused":                     put("orders/1", `{"status":"new"}`, "Idempotency-Key", "used"),
		"entity's key cancelled":                  put("orders/1", `{}`, "Idempotency-Key", "stopped"),
		"put of a hidden field":                   put("orders/secret", `{"a":1,"cost":4}`),
		"put of a hidden field within":            put("orders/secret", `{"customer":{"phone":"2"}}`),
		"put where a hidden field may lie":        put("orders/new", `{"customer":"Ada"}`),
		"patch of a hidden field":                 patch("orders/secret", `{"cost":null}`),
		"mutation of a hidden field":              bulk(`[{"op":"patch","topic":"orders/1","patch":{"a":1}},{"op":"patch","topic":"orders/secret","patch":{"customer":{"phone":"2"}}}]`),
		"mutation's key reused":                   bulk(`[{"op":"delete","topic":"orders/1"},{"id":"used","op":"put","topic":"orders/1","data":{}}]`),
		"mutation cancelled":                      bulk(`{"id":"stopped","op":"put","topic":"orders/1","data":{}}`),
		"mutation of another version":             bulk(`{"op":"put","topic":"orders/1","data":{},"guard":"version","base":1}`),
		"mutation of a changed field":             bulk(`{"op":"patch","topic":"orders/1","patch":{"status":"x","table":1},"guard":"fields","base":1}`),
		"mutation of nothing there":               bulk(`{"op":"delete","topic":"orders/none"}`),
		"mutations with a fault at 3":             bulk(`[{"op":"put","topic":"orders/7","data":{}},{"op":"put","topic":"orders/8","data":{}},{"op":"delete","topic":"orders/8"},{"op":"patch","topic":"orders/9","patch":{}},{"op":"put","topic":"orders/9","data":{}}]`),
		"mutations with a conflict at 1":          bulk(`[{"op":"put","topic":"orders/7","data":{}},{"id":"clash","op":"put","topic":"orders/1","data":{},"guard":"version","base":0}]`),
		"mutations forbidden at 1":                bulk(`[{"op":"put","topic":"orders/7","data":{}},{"op":"put","topic":"tables/1","data":{}}]`),
		"mutation forbidden in an array of one":   bulk(`[{"op":"put","topic":"tables/1","data":{}}]`),
		"mutation reserved":                       bulk(`{"op":"put","topic":"roxy/x","data":{}}`),
		"mutations of a bad topic at 1":           bulk(`[{"op":"put","topic":"orders/7","data":{}},{"op":"put","topic":"orders//1","data":{}}]`),
		"no mutations":                            bulk(`[]`),
		"too many mutations":                      bulk(`[` + strings.Repeat(`{"op":"delete","topic":"orders/1"},`, 5) + `{"op":"delete","topic":"orders/1"}]`),
		"mutation that is null":                   bulk(`null`),
		"mutation of an unknown member":           one(`,"ttl":"1s"`),
		"mutation of a member given twice":        one(`,"op":"put"`),
		"mutation of a null member":               one(`,"device":null`),
		"mutation without op":                     bulk(`{"topic":"orders/1"}`),
		"mutation of an unknown op":               bulk(`{"op":"merge","topic":"orders/1"}`),
		"mutation without topic":                  bulk(`{"op":"delete"}`),
		"mutation without data":                   bulk(`{"op":"put","topic":"orders/1"}`),
		"mutation of data for a patch":            bulk(`{"op":"patch","topic":"orders/1","data":{}}`),
		"mutation of data for a delete":           bulk(`{"op":"delete","topic":"orders/1","data":{}}`),
		"mutation of data and patch":              one(`,"patch":{}`),
		"mutation of data that is a number":       bulk(`{"op":"put","topic":"orders/1","data":7}`),
		"mutation of an unknown guard":            one(`,"guard":"etag","base":1`),
		"mutation of a guard without base":        one(`,"guard":"version"`),
		"mutation of a base without guard":        one(`,"base":1`),
		"mutation of a base for guard none":       one(`,"guard":"none","base":0`),
		"mutation of a base out of range":         one(`,"guard":"version","base":9007199254740992`),
		"mutation of a base below zero":           one(`,"guard":"version","base":-1`),
		"mutation of a base that is no number":    one(`,"guard":"version","base":"1"`),
		"mutation of a base with an exponent":     one(`,"guard":"version","base":1e3`),
		"mutation of a base with a fraction":      one(`,"guard":"version","base":1.0`),
		"mutation of a seq without device":        one(`,"seq":1`),
		"mutation of a bad device":                one(`,"device":"a b"`),
		"mutation of a reserved type":             one(`,"type":"roxy:hello"`),
		"mutation of an empty id":                 one(`,"id":""`),
		"mutation too deep":                       bulk(`[{"op":"delete","topic":"orders/1"},{"op":"put","topic":"orders/1","data":` + strings.Repeat(`{"a":`, 65) + "1" + strings.Repeat("}", 66) + `]`),
		"mutation too large":                      bulk(`[{"op":"delete","topic":"orders/1"},{"op":"put","topic":"orders/1","data":{"a":"` + strings.Repeat("x", 64<<10) + `"}}]`),
		"mutation whose key differs":              {http.MethodPost, "/v1/mutations", map[string]string{"Idempotency-Key": "other"}, `{"id":"one","op":"delete","topic":"orders/1"}`},
		"mutations with a key in the header":      {http.MethodPost, "/v1/mutations", map[string]string{"Idempotency-Key": "k"}, `[{"op":"delete","topic":"orders/1"},{"op":"delete","topic":"orders/1"}]`},
		"status of no ids":                        {http.MethodPost, "/v1/mutations/status", nil, `{"ids":[]}`},
		"status without ids":                      {http.MethodPost, "/v1/mutations/status", nil, `{}`},
		"status of an array":                      {http.MethodPost, "/v1/mutations/status", nil, `["a"]`},
		"status of a number":                      {http.MethodPost, "/v1/mutations/status", nil, `{"ids":["a",7]}`},
		"status of too many ids":                  {http.MethodPost, "/v1/mutations/status", nil, `{"ids":["1","2","3","4","5","6"]}`},
		"status of an unknown member":             {http.MethodPost, "/v1/mutations/status", nil, `{"ids":["1"],"more":1}`},
		"status of ids given twice":               {http.MethodPost, "/v1/mutations/status", nil, `{"ids":["1"],"ids":["2"]}`},
		"cancel of an id too long":                {method: http.MethodDelete, path: "/v1/mutations/" + strings.Repeat("x", 129)},
		"cancel of a line feed":                   {method: http.MethodDelete, path: "/v1/mutations/a%0Ab"},
		"cancel of no id":                         {method: http.MethodDelete, path: "/v1/mutations/"},
		"entities without match":                  {path: "/v1/entities"},
		"entities of an empty match":              {path: "/v1/entities?match="},
		"entities of a bad match":                 {path: "/v1/entities?match=**/a"},
		"entities of two matches":                 {path: "/v1/entities?match=orders/1&match=orders/2"},
		"entities forbidden to read":              {path: "/v1/entities?match=**"},
		"entities of limit 0":                     {path: "/v1/entities?match=orders/*&limit=0"},
		"entities of limit 1001":                  {path: "/v1/entities?match=orders/*&limit=1001"},
		"entities of limit with a sign":           {path: "/v1/entities?match=orders/*&limit=%2B5"},
		"entities of limit that is no number":     {path: "/v1/entities?match=orders/*&limit=ten"},
		"entities of an unknown parameter":        {path: "/v1/entities?match=orders/*&after=a"},
		"entities of a broken query":              {path: "/v1/entities?match=%zz"},
		"entities of a page that is none":         {path: "/v1/entities?match=orders/*&page=nonsense"},
		"entities of an empty page":               {path: "/v1/entities?match=orders/*&page="},
		"entities of a page of another match":     {path: "/v1/entities?match=orders/*&page=" + pageToken("abc.1", "orders/**", "orders/1")},
		"entities of a page of another life":      {path: "/v1/entities?match=orders/*&page=" + pageToken("abc.1", "orders/*", "orders/1")},
		"entities of a page without cursor":       {path: "/v1/entities?match=orders/*&page=" + pageToken("", "orders/*", "orders/1")},
		"entities of a page with a broken cursor": {path: "/v1/entities?match=orders/*&page=" + pageToken(`abc.1"`, "orders/*", "orders/1")},
		"entities of a page behind no topic":      {path: "/v1/entities?match=orders/*&page=" + pageToken("abc.1", "orders/*", "a//b")},
	} {
		t.Run(name, func(t *testing.T) { golden(t, fileOf("refusals", name), s.answer(t, c)) })
	}
	if after := state(); after != before {
		t.Errorf("a refusal changed something:\n%s\nbefore:\n%s", after, before)
	}
}

func pageToken(parts ...string) string {
	return base64.RawURLEncoding.EncodeToString([]byte(strings.Join(parts, "\n")))
}

// page is what a page of entities tells.
type page struct {
	Entities []struct {
		Topic   string
		Version uint64
		Data    json.RawMessage
	}
	Cursor, Page string
}

func (s *site) page(t *testing.T, query url.Values) page {
	t.Helper()
	resp := s.do(t, call{path: "/v1/entities?" + query.Encode()}) //nolint:bodyclose // with the test
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	var p page
	if err := json.Unmarshal(body, &p); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %v: %s", resp.Status, err, body)
	}
	return p
}

// What is written between two pages lies behind the cursor of all of them.
func TestPagesOfEntitiesLeadThroughAllAndKeepTheFirstCursor(t *testing.T) {
	s := open(t, unbounded(), nil)
	var all []string
	for i := range 25 {
		topic := fmt.Sprintf("orders/%02d", i)
		all = append(all, topic)
		if status, _ := s.head(t, put(topic, `{}`)); status != http.StatusCreated {
			t.Fatal(status)
		}
	}
	for _, size := range []string{"1", "7", "25", "1000"} {
		query := url.Values{"match": {"orders/*"}, "limit": {size}}
		var got []string
		first := s.page(t, query)
		for p := first; ; p = s.page(t, query) {
			for _, e := range p.Entities {
				got = append(got, e.Topic)
			}
			if p.Cursor != first.Cursor {
				t.Errorf("the cursor moves from %s to %s", first.Cursor, p.Cursor)
			}
			if p.Page == "" {
				break
			}
			query.Set("page", p.Page)
			s.head(t, patch("orders/00", `{"n":1}`))
		}
		if strings.Join(got, " ") != strings.Join(all, " ") {
			t.Errorf("pages of %s: %s", size, got)
		}
	}
}

func TestPageOfLargeEntitiesEndsSooner(t *testing.T) {
	s := open(t, unbounded(), nil)
	body := `{"a":"` + strings.Repeat("x", 60<<10) + `"}`
	const n = 90 // 5.3 MiB
	for i := range n {
		if status, _ := s.head(t, put(fmt.Sprintf("orders/%d", i), body)); status != http.StatusCreated {
			t.Fatal(status)
		}
	}
	first := s.page(t, url.Values{"match": {"orders/*"}})
	if len(first.Entities) >= n || len(first.Entities) < n/2 || first.Page == "" {
		t.Fatalf("the first page holds %d entities, and page %q", len(first.Entities), first.Page)
	}
	second := s.page(t, url.Values{"match": {"orders/*"}, "page": {first.Page}})
	if len(first.Entities)+len(second.Entities) != n || second.Page != "" {
		t.Errorf("%d and %d entities of %d", len(first.Entities), len(second.Entities), n)
	}
}

func FuzzParseList(f *testing.F) {
	l := listing{match: pattern(f, "orders/*"), cursor: roxy.Cursor{Epoch: "k3x9", Offset: 12}}
	for _, seed := range []string{
		"match=orders/*", "match=orders/*&limit=1000", "match=**&limit=0", "match=a&match=b", "limit=1", "match=orders/*&page=" + l.token(),
		"match=orders/*&page=" + pageToken("k3x9.12", "orders/*", "orders/1"), "match=orders/*&page=" + pageToken("", "orders/*", "orders/1"),
		"match=orders/*&page=%00", "match=orders/*&ticket=t&after=1", "match=%2A%2A&limit=%2B1",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		query, err := url.ParseQuery(raw)
		if err != nil {
			return
		}
		l, err := parseList(query)
		if err != nil {
			checkProblem(t, raw, err)
			return
		}
		if l.limit < 1 || l.limit > maxPage || l.match == (roxy.Pattern{}) || (l.cursor == roxy.Cursor{}) != (l.after == roxy.Topic{}) {
			t.Fatalf("%q: %+v", raw, l)
		}
		if (l.cursor == roxy.Cursor{}) {
			return
		}
		again, err := parseList(url.Values{"match": {l.match.String()}, "limit": {fmt.Sprint(l.limit)}, "page": {l.token()}})
		if err != nil || again != l {
			t.Fatalf("%q: its own page leads to %+v, %v", raw, again, err)
		}
	})
}

func FuzzGuardHeaders(f *testing.F) {
	for _, seed := range [][3]string{
		{`"7"`, "", ""},
		{"*", "", ""},
		{"", "*", ""},
		{"", "", "5"},
		{`"7"`, "*", "5"},
		{`W/"7"`, "", ""},
		{`"1", "2"`, "", ""},
		{`"`, "", ""},
		{"", `"7"`, ""},
		{"", "", "-1"},
		{"", "", "18446744073709551615"},
		{`"0"`, "", ""},
		{" * ", "", ""},
		{"", "", "0x7"},
		{`""`, "", ""},
	} {
		f.Add(seed[0], seed[1], seed[2])
	}
	f.Fuzz(func(t *testing.T, match, none, base string) {
		h := make(http.Header)
		given := 0
		for name, value := range map[string]string{"If-Match": match, "If-None-Match": none, "Roxy-Base": base} {
			if value != "" {
				h.Set(name, value)
				given++
			}
		}
		var m roxy.Mutation
		if err := guardOf(h, &m); err != nil {
			checkProblem(t, match+none+base, err)
			return
		}
		guards := given == 0 && m.Guard == roxy.GuardNone && !m.Present && m.Base == 0 ||
			given == 1 && (m.Present || m.Guard == roxy.GuardVersion || m.Guard == roxy.GuardFields)
		if !guards || m.Base > maxCount || m.Present && m.Guard != roxy.GuardNone {
			t.Fatalf("%v: %+v", h, m)
		}
		if m.Guard == roxy.GuardVersion && m.Base != 0 && !matches([]string{etag(m.Base)}, etag(m.Base)) {
			t.Fatalf("%v: version %d does not match its own tag", h, m.Base)
		}
	})
}
