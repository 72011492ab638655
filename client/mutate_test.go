package client

import (
	"context"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/roxyhub/roxy"
)

const committed = `{"results":[{"id":"m-1","topic":"orders/7","version":3,"cursor":"e.7","duplicate":true}]}`

func topicOf(t *testing.T, s string) roxy.Topic {
	t.Helper()
	topic, err := roxy.ParseTopic(s)
	if err != nil {
		t.Fatal(err)
	}
	return topic
}

// with calls do with a client of s in a bubble.
func with(t *testing.T, s *script, do func(ctx context.Context, c *Client)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { do(t.Context(), mustNew(t, Options{HTTPClient: &http.Client{Transport: s}})) })
}

func TestMutateSpellsAMutation(t *testing.T) {
	put := roxy.Mutation{ID: "m-1", Op: roxy.Put, Topic: topicOf(t, "orders/7"), Data: []byte(`{ "b": 1.0, "a": null }`)}
	patch := roxy.Mutation{
		ID: "m-2", Op: roxy.Patch, Topic: topicOf(t, "orders/7"), Data: []byte(`{"a":2}`), Guard: roxy.GuardFields, Base: 4,
		Device: "bar-1", Seq: 9, Type: "order:ready", Correlation: "c", TraceParent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
	}
	create := put
	create.Guard = roxy.GuardVersion
	for name, tt := range map[string]struct {
		mutations []roxy.Mutation
		want      string
	}{
		"alone":               {[]roxy.Mutation{put}, `{"id":"m-1","op":"put","topic":"orders/7","data":{"b":1.0,"a":null}}`},
		"whole":               {[]roxy.Mutation{patch}, `{"id":"m-2","op":"patch","topic":"orders/7","patch":{"a":2},"guard":"fields","base":4,"device":"bar-1","seq":9,"type":"order:ready","correlation":"c"}`},
		"with a base of none": {[]roxy.Mutation{create}, `{"id":"m-1","op":"put","topic":"orders/7","data":{"b":1.0,"a":null},"guard":"version","base":0}`},
		"among others": {
			[]roxy.Mutation{{ID: "m-3", Op: roxy.Delete, Topic: put.Topic, Guard: roxy.GuardNone}, {ID: "m-4", Op: roxy.Delete, Topic: put.Topic}},
			`[{"id":"m-3","op":"delete","topic":"orders/7","guard":"none"},{"id":"m-4","op":"delete","topic":"orders/7"}]`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			var bodies []string
			s := &script{steps: []step{record(&bodies, problem(403, roxy.Forbidden))}}
			with(t, s, func(ctx context.Context, c *Client) {
				if _, err := c.Mutate(ctx, tt.mutations...); err == nil || !slices.Equal(bodies, []string{tt.want}) {
					t.Errorf("sent %q, %v; want %q", bodies, err, tt.want)
				}
			})
			if r := s.requests[0]; r.Method != http.MethodPost || r.URL.Path != "/base/v1/mutations" || r.Header.Get("Content-Type") != "application/json" ||
				r.Header.Get("Traceparent") != tt.mutations[0].TraceParent {
				t.Errorf("sent by %s to %s with %v", r.Method, r.URL, r.Header)
			}
		})
	}
}

func TestMutateRepeatsWithTheSameID(t *testing.T) {
	var bodies []string
	s := &script{}
	for _, next := range []step{refuse(errCable), problem(429, roxy.RateLimited), problem(503, roxy.Overloaded), answer(200, "application/json", committed)} {
		s.steps = append(s.steps, record(&bodies, next))
	}
	with(t, s, func(ctx context.Context, c *Client) {
		got, err := c.Mutate(ctx, roxy.Mutation{Op: roxy.Delete, Topic: topicOf(t, "orders/7")})
		want := []roxy.MutationResult{{ID: "m-1", Outcome: roxy.Committed, Topic: topicOf(t, "orders/7"), Version: 3, Cursor: cursor(t, "e.7"), Duplicate: true}}
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, %v; want %+v", got, err, want)
		}
	})
	var sent struct {
		ID string `json:"id"`
	}
	if err := json.Unmarshal([]byte(bodies[0]), &sent); err != nil || len(sent.ID) < 20 || len(bodies) != 4 || len(slices.Compact(bodies)) != 1 {
		t.Fatalf("sent %q, %v; want four times the same, with an ID of its own", bodies, err)
	}
}

func TestMutateTellsWhatAGuardRanInto(t *testing.T) {
	s := &script{steps: []step{answer(409, "application/problem+json", `{"code":"version-conflict","detail":"because","member":"[1].base",`+
		`"current":{"topic":"orders/7","version":9,"data":{"b":2,"a":1},"time":"2026-11-23T20:00:00Z"},"fields":["a","b"]}`)}}
	with(t, s, func(ctx context.Context, c *Client) {
		_, err := c.Mutate(ctx, roxy.Mutation{Op: roxy.Delete, Topic: topicOf(t, "orders/7")})
		want := &roxy.Problem{Code: roxy.VersionConflict, Member: "[1].base", Detail: "because", Conflict: &roxy.Conflict{
			Current: &roxy.Entity{Topic: topicOf(t, "orders/7"), Version: 9, Data: []byte(`{"a":1,"b":2}`), Time: time.Date(2026, 11, 23, 20, 0, 0, 0, time.UTC)},
			Fields:  []string{"a", "b"},
		}}
		if !reflect.DeepEqual(err, error(want)) {
			t.Errorf("got %#v", err)
		}
	})
}

func TestMutateTellsHowASchemaIsViolated(t *testing.T) {
	s := &script{steps: []step{answer(422, "application/problem+json", `{"code":"schema-violation","detail":"because","violations":[{"pointer":"/a","keyword":"type","message":"want a number"}]}`)}}
	with(t, s, func(ctx context.Context, c *Client) {
		_, err := c.Mutate(ctx, roxy.Mutation{Op: roxy.Delete, Topic: topicOf(t, "orders/7")})
		want := &roxy.Problem{Code: roxy.SchemaViolation, Detail: "because", Violations: []roxy.Violation{{Pointer: "/a", Keyword: "type", Message: "want a number"}}}
		if !reflect.DeepEqual(err, error(want)) {
			t.Errorf("got %#v", err)
		}
	})
}

func TestMutateRefusesBeforeItSends(t *testing.T) {
	good := roxy.Mutation{Op: roxy.Delete, Topic: topicOf(t, "orders/7")}
	for name, tt := range map[string]struct {
		bad    roxy.Mutation
		member string
	}{
		"data that is no JSON":    {roxy.Mutation{Op: roxy.Put, Topic: good.Topic, Data: []byte(`{`)}, "[1].data"},
		"a patch that is no JSON": {roxy.Mutation{Op: roxy.Patch, Topic: good.Topic, Data: []byte(`{`)}, "[1].patch"},
		"a base without a guard":  {roxy.Mutation{Op: roxy.Delete, Topic: good.Topic, Base: 3}, "[1].base"},
		"what the wire lacks":     {roxy.Mutation{Op: roxy.Delete, Topic: good.Topic, Present: true}, "[1].guard"},
		"an id that is not UTF-8": {roxy.Mutation{Op: roxy.Delete, Topic: good.Topic, ID: "\xff"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := &script{}
			with(t, s, func(ctx context.Context, c *Client) {
				_, err := c.Mutate(ctx, good, tt.bad)
				if p, ok := err.(*roxy.Problem); !ok || p.Code != roxy.InvalidMutation || p.Member != tt.member || len(s.requests) != 0 { //nolint:errorlint // the error itself is promised
					t.Errorf("got %v after %d requests", err, len(s.requests))
				}
			})
		})
	}
	with(t, &script{}, func(ctx context.Context, c *Client) {
		if got, err := c.Mutate(ctx); got != nil || err != nil {
			t.Errorf("nothing: %v, %v", got, err)
		}
		if got, err := c.Results(ctx); got != nil || err != nil {
			t.Errorf("of nothing: %v, %v", got, err)
		}
	})
}

func TestAnswersAboutEntitiesThatCannotBeTrustedAreErrors(t *testing.T) {
	for name, body := range map[string]string{
		"no JSON":          "ok",
		"another number":   `{"results":[],"entities":[{}],"topic":"orders/7"}`,
		"a broken cursor":  `{"results":[{"id":"m","cursor":"7"}],"entities":[],"topic":"orders/7","version":1,"data":{},"cursor":"7"}`,
		"a broken topic":   `{"results":[{"id":"m","topic":"a//b"}],"entities":[{"topic":"a//b","data":{}}],"cursor":"e.1","topic":"a//b","version":1,"data":{}}`,
		"a broken problem": `{"results":[{"id":"m","problem":7}],"entities":[{"topic":"orders/7","data":7}],"cursor":"e.1","topic":"orders/7","data":7,"problem":{}}`,
	} {
		t.Run(name, func(t *testing.T) {
			s := &script{steps: slices.Repeat([]step{answer(200, "application/json", body)}, 4)}
			with(t, s, func(ctx context.Context, c *Client) {
				if got, err := c.Mutate(ctx, roxy.Mutation{Op: roxy.Delete, Topic: topicOf(t, "orders/7")}); err == nil {
					t.Errorf("Mutate: %v", got)
				}
				if got, err := c.Results(ctx, "m"); err == nil {
					t.Errorf("Results: %v", got)
				}
				if got, _, err := c.Entity(ctx, topicOf(t, "orders/7")); err == nil {
					t.Errorf("Entity: %v", got)
				}
				if got, err := c.List(ctx, orders(t)); err == nil {
					t.Errorf("List: %v", got)
				}
			})
		})
	}
	with(t, &script{steps: []step{answer(200, "application/json", `{"id":"m","problem":7}`)}}, func(ctx context.Context, c *Client) {
		if got, err := c.Cancel(ctx, "m"); err == nil {
			t.Errorf("Cancel: %v", got)
		}
	})
}

func TestCallsAboutMutationsAndEntitiesAskForWhatTheySay(t *testing.T) {
	one := `{"topic":"orders/7","version":3,"data":{"b":1,"a":2},"time":"2026-11-23T20:00:00Z"}`
	var bodies []string
	s := &script{steps: []step{
		record(&bodies, answer(200, "application/json", `{"results":[{"id":"m 1","status":"unknown"}]}`)),
		record(&bodies, answer(200, "application/json", `{"id":"a/b","status":"cancelled","problem":{"code":"cancelled","detail":"because"}}`)),
		answer(200, "application/json", strings.TrimSuffix(one, "}")+`,"cursor":"e.9"}`),
		answer(200, "application/json", `{"entities":[`+one+`],"cursor":"e.9","page":"p/2"}`),
		answer(200, "application/json", `{"entities":[`+one+`],"cursor":"e.9"}`),
		answer(200, "application/json", `{"entities":[],"cursor":"e.9","page":"p/2"}`),
		problem(400, roxy.InvalidParameter),
	}}
	want := roxy.Entity{Topic: topicOf(t, "orders/7"), Version: 3, Data: []byte(`{"a":2,"b":1}`), Time: time.Date(2026, 11, 23, 20, 0, 0, 0, time.UTC)}
	with(t, s, func(ctx context.Context, c *Client) {
		if got, err := c.Results(ctx, "m 1"); err != nil || !reflect.DeepEqual(got, []roxy.MutationResult{{ID: "m 1", Outcome: roxy.Unknown}}) {
			t.Errorf("Results: %+v, %v", got, err)
		}
		if got, err := c.Cancel(ctx, "a/b"); err != nil || got.ID != "a/b" || got.Outcome != roxy.Cancelled || got.Problem.Code != roxy.WasCancelled {
			t.Errorf("Cancel: %+v, %v", got, err)
		}
		if got, at, err := c.Entity(ctx, want.Topic); err != nil || !reflect.DeepEqual(got, want) || at != cursor(t, "e.9") {
			t.Errorf("Entity: %+v at %s, %v", got, at, err)
		}
		var got []roxy.Entity
		for e, err := range c.Entities(ctx, orders(t)) {
			if err != nil {
				t.Error(err)
			}
			got = append(got, e)
		}
		if !reflect.DeepEqual(got, []roxy.Entity{want, want}) {
			t.Errorf("Entities: %+v", got)
		}
		var end error
		for _, err := range c.Entities(ctx, orders(t)) {
			end = err
		}
		if end == nil {
			t.Error("a refused page ends a list without an error")
		}
	})
	for i, want := range []string{
		"POST /base/v1/mutations/status", "DELETE /base/v1/mutations/a%2Fb", "GET /base/v1/entities/orders/7",
		"GET /base/v1/entities?limit=1000&match=orders%2F%2A", "GET /base/v1/entities?limit=1000&match=orders%2F%2A&page=p%2F2",
	} {
		if got := s.requests[i].Method + " " + s.requests[i].URL.RequestURI(); got != want {
			t.Errorf("request %d is %s, want %s", i, got, want)
		}
	}
	if !slices.Equal(bodies, []string{`{"ids":["m 1"]}`, ""}) {
		t.Errorf("sent %q", bodies)
	}
}

// FuzzDecode: whatever a server answers, the client tells an error or what is valid.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(committed))
	f.Add([]byte(`{"topic":"orders/7","version":3,"data":{"b":1,"a":2},"time":"2026-11-23T20:00:00Z","cursor":"e.9"}`))
	f.Add([]byte(`{"entities":[{"topic":"orders/7","version":3,"data":{},"time":"2026-11-23T20:00:00Z"}],"cursor":"e.9","page":"x"}`))
	f.Add([]byte(`{"device":"bar-1","cursor":"e.9","results":[{"id":"e.7","status":"confirmed"}]}`))
	f.Add([]byte(`{"devices":[{"device":"bar-1","roles":["bar"],"patterns":["orders/*"],"cursor":"e.9","connected":true}]}`))
	f.Add([]byte(`{"event":"e.7","topic":"orders/7","ack":{"by":"device","within":"30s","attempts":5},"due":"2026-11-23T20:00:00Z","receipts":[{"device":"bar-1","attempts":2}]}`))
	f.Add([]byte(`{"code":"version-conflict","current":{"topic":"orders/7","version":3,"data":null},"fields":["a"]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		if got, err := decodeResults(text, 1); (err == nil) != (len(got) == 1) {
			t.Fatalf("results: %v, %v", got, err)
		}
		if e, _, err := decodeEntity(text); err == nil && e.Topic == (roxy.Topic{}) {
			t.Fatalf("an entity at no topic: %+v", e)
		}
		if p, err := decodePage(text); err == nil && p.cursor.Epoch == "" {
			t.Fatalf("a page at no cursor: %+v", p)
		}
		if at, statuses, err := decodeAcks(text, 1); err == nil && (at.Epoch == "" || len(statuses) != 1) {
			t.Fatalf("an acknowledgement: %s, %v", at, statuses)
		}
		if devices, err := decodeDevices(text); err == nil && slices.ContainsFunc(devices, func(d Device) bool { return d.Cursor.Epoch == "" }) {
			t.Fatalf("a device without a cursor: %+v", devices)
		}
		if c, err := decodeCritical(text); err == nil && (c.ID.Epoch == "" || c.Topic == (roxy.Topic{})) {
			t.Fatalf("a critical event without a place: %+v", c)
		}
		if p := decodeProblem(text); p != nil && (p.Code == "" || (p.Code == roxy.VersionConflict) != (p.Conflict != nil)) {
			t.Fatalf("a problem: %+v", p)
		}
	})
}
