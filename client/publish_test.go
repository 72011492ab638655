package client

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/roxyhub/roxy"
)

const accepted = `{"epoch":"e","events":[{"id":"k","offset":7,"cursor":"e.7","duplicate":true}]}`

func order(t *testing.T) roxy.Event {
	t.Helper()
	topic, err := roxy.ParseTopic("orders/7")
	if err != nil {
		t.Fatal(err)
	}
	return roxy.Event{Topic: topic, Type: "order:new", Data: []byte(`{"table":7}`)}
}

// post publishes events against s in a bubble.
func post(t *testing.T, s *script, opts Options, events ...roxy.Event) (results []Published, err error) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		opts.HTTPClient = &http.Client{Transport: s}
		results, err = mustNew(t, opts).Publish(t.Context(), events...)
	})
	return results, err
}

// record keeps the bodies of the requests that next answers.
func record(bodies *[]string, next step) step {
	return func(req *http.Request) (*http.Response, error) {
		body, err := io.ReadAll(req.Body)
		if err != nil {
			return nil, err
		}
		*bodies = append(*bodies, string(body))
		return next(req)
	}
}

func TestPublishSpellsAnEvent(t *testing.T) {
	full := order(t)
	full.To = roxy.Audience{Roles: []string{"kitchen"}, Users: []string{"anna"}}
	full.ID, full.TTL, full.Correlation, full.Except, full.Urgent = "k", 90*time.Second, "v1", "bar-1", true
	full.Ack = &roxy.Ack{By: roxy.AckUser, Within: 10 * time.Second, Attempts: 3}
	critical := roxy.Event{Topic: full.Topic, ID: "k", Ack: &roxy.Ack{By: roxy.AckAny}}
	full.TraceParent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	plain := order(t)
	plain.ID, plain.Data, plain.Type = "k2", nil, ""
	for name, tt := range map[string]struct {
		events []roxy.Event
		want   string
	}{
		"whole": {[]roxy.Event{full}, `{"topic":"orders/7","type":"order:new","data":{"table":7},"to":{"roles":["kitchen"],"users":["anna"]},` +
			`"id":"k","ttl":"1m30s","correlation":"v1","except":"bar-1","ack":{"by":"user","within":"10s","attempts":3},"urgent":true}`},
		"critical as the hub would have it": {[]roxy.Event{critical}, `{"topic":"orders/7","id":"k","ack":{"by":"any"}}`},
		"with no more than its topic":       {[]roxy.Event{plain}, `{"topic":"orders/7","id":"k2"}`},
		"among others":                      {[]roxy.Event{plain, plain}, `[{"topic":"orders/7","id":"k2"},{"topic":"orders/7","id":"k2"}]`},
	} {
		t.Run(name, func(t *testing.T) {
			var bodies []string
			s := &script{steps: []step{record(&bodies, problem(403, roxy.Forbidden))}}
			_, err := post(t, s, Options{Token: func(context.Context) (string, error) { return "t", nil }}, tt.events...)
			if !errors.Is(err, &roxy.Problem{Code: roxy.Forbidden}) || !slices.Equal(bodies, []string{tt.want}) {
				t.Errorf("sent %q, %v; want %q", bodies, err, tt.want)
			}
			r := s.requests[0]
			if r.URL.Path != "/base/v1/events" || r.Header.Get("Content-Type") != "application/json" || r.Header.Get("Authorization") != "Bearer t" ||
				r.Header.Get("Traceparent") != tt.events[0].TraceParent {
				t.Errorf("sent to %s with %v", r.URL, r.Header)
			}
		})
	}
}

func TestPublishTellsWhereTheEventStands(t *testing.T) {
	got, err := post(t, &script{steps: []step{answer(200, "application/json", accepted)}}, Options{}, order(t))
	want := []Published{{ID: "k", Cursor: cursor(t, "e.7"), Duplicate: true}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("got %+v, %v; want %+v", got, err, want)
	}
}

func TestPublishRepeatsWithTheSameKey(t *testing.T) {
	var bodies []string
	s := &script{}
	for _, next := range []step{
		refuse(errCable), problem(429, roxy.RateLimited), answer(502, "text/html", "<h1>nginx</h1>"),
		problem(503, roxy.Overloaded, "Retry-After", "100"), answer(504, "", ""), answer(200, "application/json", accepted),
	} {
		s.steps = append(s.steps, record(&bodies, next))
	}
	if _, err := post(t, s, Options{}, order(t)); err != nil {
		t.Fatal(err)
	}
	var sent struct{ ID string }
	if err := json.Unmarshal([]byte(bodies[0]), &sent, json.MatchCaseInsensitiveNames(true)); err != nil || len(sent.ID) < 20 {
		t.Fatalf("made the key %q, %v", sent.ID, err)
	}
	if len(bodies) != 6 || len(slices.Compact(bodies)) != 1 {
		t.Fatalf("sent %q, want six times the same", bodies)
	}
	if wait := s.at[4] - s.at[3]; wait != 100*time.Second {
		t.Errorf("waited %s for a Retry-After of 100 s", wait)
	}
}

func TestPublishDoesNotRepeat(t *testing.T) {
	typing := order(t)
	typing.Ephemeral = true
	refusedDial := &net.OpError{Op: "dial", Err: errCable}
	for name, tt := range map[string]struct {
		step  step
		event roxy.Event
		tries int
	}{
		"what the hub refuses":                          {problem(422, roxy.KeyReused), order(t), 1},
		"what fails the hub":                            {problem(500, roxy.Internal), order(t), 1},
		"what is not taken in eight times":              {problem(503, roxy.Overloaded), order(t), 8},
		"an ephemeral event that may have been sent":    {refuse(errCable), typing, 1},
		"an ephemeral event that a proxy answers":       {answer(502, "", ""), typing, 1},
		"an ephemeral event more than any that was not": {refuse(refusedDial), typing, 8},
	} {
		t.Run(name, func(t *testing.T) {
			s := &script{steps: slices.Repeat([]step{tt.step}, 20)}
			if _, err := post(t, s, Options{}, tt.event); err == nil || len(s.requests) != tt.tries {
				t.Errorf("%d attempts, %v; want %d", len(s.requests), err, tt.tries)
			}
		})
	}
}

// A hub that takes the request and says nothing is asked again: with the key that cannot double the event.
func TestPublishGivesUpASilentHub(t *testing.T) {
	silent := func(req *http.Request) (*http.Response, error) {
		<-req.Context().Done()
		return nil, req.Context().Err()
	}
	s := &script{steps: []step{silent, answer(200, "application/json", accepted)}}
	if _, err := post(t, s, Options{}, order(t)); err != nil {
		t.Fatal(err)
	}
	if s.at[1] < 15*time.Second || s.at[1] > 16*time.Second {
		t.Errorf("asked again after %s, want 15 to 15.5 s", s.at[1])
	}
}

func TestPublishEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		s := &script{steps: []step{problem(503, roxy.Overloaded, "Retry-After", "100")}}
		_, err := mustNew(t, Options{HTTPClient: &http.Client{Transport: s}}).Publish(ctx, order(t))
		if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, roxy.ErrOverloaded) {
			t.Fatalf("got %v, want the end of the context and what the hub said last", err)
		}
	})
}

func TestPublishRefusesBeforeItSends(t *testing.T) {
	broken := order(t)
	broken.Data = []byte(`{"table":`)
	s := &script{}
	_, err := post(t, s, Options{}, order(t), broken)
	if p, ok := errors.AsType[*roxy.Problem](err); !ok || p.Member != "[1].data" || len(s.requests) != 0 {
		t.Fatalf("got %v after %d requests", err, len(s.requests))
	}
	if got, err := post(t, s, Options{}); got != nil || err != nil || len(s.requests) != 0 {
		t.Fatalf("publishing nothing: %v, %v", got, err)
	}
}

func TestPublishRefusesAnAnswerItCannotTrust(t *testing.T) {
	for name, body := range map[string]string{
		"no JSON":         "ok",
		"another number":  `{"epoch":"e","events":[]}`,
		"a broken cursor": `{"epoch":"e","events":[{"id":"k","offset":7,"cursor":"7"}]}`,
	} {
		t.Run(name, func(t *testing.T) {
			s := &script{steps: []step{answer(200, "application/json", body)}}
			if got, err := post(t, s, Options{}, order(t)); err == nil || len(s.requests) != 1 {
				t.Fatalf("got %v after %d requests", got, len(s.requests))
			}
		})
	}
}

// The answer is cut on a real socket: the event is there, its publisher does not know, and the repetition says so.
func TestPublishSurvivesALostAnswer(t *testing.T) {
	var ids []string
	url := socket(t, func(n int, req *http.Request) string {
		var sent struct{ ID string }
		if err := json.UnmarshalRead(req.Body, &sent, json.MatchCaseInsensitiveNames(true)); err != nil {
			t.Error(err)
		}
		ids = append(ids, sent.ID)
		answer := "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: " + strconv.Itoa(len(accepted)) + "\r\n\r\n" + accepted
		return answer[:len(answer)*min(n, 3)/3]
	})
	got, err := mustNew(t, Options{URL: url, Backoff: quick(), HTTPClient: ownTransport(t)}).Publish(t.Context(), order(t))
	if err != nil || !got[0].Duplicate {
		t.Fatalf("got %+v, %v", got, err)
	}
	if len(ids) != 4 || len(slices.Compact(ids)) != 1 {
		t.Fatalf("the attempts carried %q, want one key four times", ids)
	}
}

func TestProblemOfReadsRetryAfter(t *testing.T) {
	now := time.Date(2026, 11, 23, 20, 0, 0, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		"0": 0, "120": 2 * time.Minute, "Mon, 23 Nov 2026 20:00:30 GMT": 30 * time.Second, "Mon, 23 Nov 2026 19:00:00 GMT": 0,
	} {
		if got, ok := retryAfter(value, now); !ok || got != want {
			t.Errorf("%q: got %s, %v; want %s", value, got, ok, want)
		}
	}
	for _, value := range []string{"", "-1", "soon", "1.5", "99999999999"} {
		if got, ok := retryAfter(value, now); ok {
			t.Errorf("%q: got %s", value, got)
		}
	}
}

// FuzzDecodeAnswer: whatever a server answers, the client tells an error or as many results as events.
func FuzzDecodeAnswer(f *testing.F) {
	f.Add([]byte(accepted))
	f.Add([]byte(`{"events":[{"cursor":"e.0"}]}`))
	f.Add([]byte(`[]`))
	f.Fuzz(func(t *testing.T, text []byte) {
		if got, err := decodeAnswer(text, 1); (err == nil) != (len(got) == 1) {
			t.Fatalf("got %v, %v", got, err)
		}
	})
}

// FuzzTake: whatever a stream holds, it ends in an error and no message is yielded twice or out of order.
func FuzzTake(f *testing.F) {
	f.Add(hello("e.1") + event(2) + event(2) + live("e.2", 1) + reset("epoch", "f.0") + bye("drain", time.Second))
	f.Add(hello("e.1") + beat("e.9") + event(3))
	f.Add(helloView("v", "") + entity("orders/1", 1, `{"a":1}`) + liveWith("e.1", 1) + change(2, "orders/1", "patch", 2, `,"patch":{"a":null}`))
	f.Add("event: roxy:receipt\ndata: {\"id\":\"m\",\"status\":\"refused\",\"problem\":{\"code\":\"version-conflict\",\"fields\":[\"a\"]}}\n\n")
	f.Add(hello("e.1") + live("e.1", 0) + present(1, 2, "ann") + present(2, 2, "bob") + joined("cyd") + left("ann") + present(1, 1))
	f.Fuzz(func(t *testing.T, in string) {
		var last roxy.Cursor
		fo := &follower{client: mustNew(t, Options{MaxEventBytes: 1 << 12}), yield: func(m Message, err error) bool {
			switch m := m.(type) {
			case Event:
				if !m.Ephemeral && (m.Cursor.Epoch == last.Epoch && m.Cursor.Offset <= last.Offset || last.Epoch != "" && m.Cursor.Epoch != last.Epoch) {
					t.Fatalf("%s after %s", m.Cursor, last)
				}
				if !m.Ephemeral {
					last = m.Cursor
				}
			case Reset:
				last = m.Cursor
			}
			return err == nil
		}}
		alarm := time.NewTimer(time.Hour)
		defer alarm.Stop()
		if err := fo.follow(t.Context(), strings.NewReader(in), alarm); err == nil {
			t.Fatal("a stream that ended has no error")
		}
	})
}
