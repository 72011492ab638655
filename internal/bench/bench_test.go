package bench

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestACorrectHubLosesNothing(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*hub, *Options){
		"chunked":                    func(*hub, *Options) {},
		"delimited by its end":       func(h *hub, _ *Options) { h.until = true },
		"chunks of one byte":         func(h *hub, o *Options) { h.bytes, o.Load.Rate = true, 50 },
		"larger than what one reads": func(_ *hub, o *Options) { o.Load.Size = 3 * maxRead },
		"at a rate, from three":      func(_ *hub, o *Options) { o.Load.Rate, o.Load.Publishers = 300, 3 },
		"in arrays":                  func(_ *hub, o *Options) { o.Load.Batch = 7 },
		"behind a warm-up":           func(_ *hub, o *Options) { o.Load.Warmup = 50 * time.Millisecond },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHub(t, all)
			o := h.options()
			change(h, &o)
			r, err := Measure(t.Context(), o)
			if err != nil || r.Err() != nil {
				t.Fatal(err, r.Err())
			}
			published := r.Run.Published
			if r.Warmup != nil {
				published += r.Warmup.Published
			}
			if published != h.events()*int64(o.Load.Batch) || r.Run.Delivered != testStreams*r.Run.Published || r.Run.Published == 0 {
				t.Errorf("%d requests, and %+v", h.events(), r.Run.Counts)
			}
			if l := r.Run.Latency; l.P50 <= 0 || l.P99 < l.P50 || l.Max < l.P999 {
				t.Errorf("latency %+v", l)
			}
			if r.Live != testStreams || r.Interrupted || r.Server != nil {
				t.Errorf("%+v", r)
			}
		})
	}
}

func TestWhatAHubDoesWrongIsCounted(t *testing.T) {
	t.Parallel()
	var held string
	for name, tt := range map[string]struct {
		do   script
		want Counts
		says string
	}{
		"one lost on a stream, the next on all, the third repeated on the first stream": {
			func(n int, event string, streams []chan string) {
				switch n {
				case 0:
					all(n, event, streams[1:])
				case 1:
				case 2:
					all(n, event, streams[:1])
					fallthrough
				default:
					all(n, event, streams)
				}
			},
			Counts{Lost: 1 + testStreams, Repeated: 1},
			"6 lost, 1 repeated",
		},
		"an event repeated on three, on one of them twice": {
			func(n int, event string, streams []chan string) {
				all(n, event, streams)
				if n == 1 {
					all(n, event, streams[:3])
					all(n, event, streams[:1])
				}
			},
			Counts{Repeated: 4},
			"4 repeated",
		},
		"an event behind its successors on two": {
			func(n int, event string, streams []chan string) {
				if n == 0 {
					held = event
					all(n, event, streams[2:])
					return
				}
				all(n, event, streams)
				if n == 2 {
					all(n, held, streams[:2])
				}
			},
			Counts{OutOfOrder: 2},
			"2 out of order",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHub(t, tt.do)
			r, err := Measure(t.Context(), h.options())
			if err != nil {
				t.Fatal(err)
			}
			if h.events() < 3 {
				t.Fatalf("%d events: too few for the script", h.events())
			}
			tt.want.Published, tt.want.Expected = h.events(), testStreams*h.events()
			tt.want.Delivered = tt.want.Expected - tt.want.Lost
			if r.Run.Counts != tt.want {
				t.Errorf("%+v, want %+v", r.Run.Counts, tt.want)
			}
			if err := r.Err(); err == nil || err.Error() != tt.says {
				t.Errorf("%v, want %q", err, tt.says)
			}
		})
	}
}

func TestAStreamThatEndsIsDroppedAndItsRestLost(t *testing.T) {
	t.Parallel()
	h := newHub(t, func(n int, event string, streams []chan string) {
		switch {
		case n == 2:
			close(streams[4])
		case n > 2:
			streams = streams[:4]
		}
		all(n, event, streams[:min(4, len(streams))])
		if n < 2 {
			streams[4] <- event
		}
	})
	r, err := Measure(t.Context(), h.options())
	if err != nil {
		t.Fatal(err)
	}
	if r.Dropped != 1 || r.Run.Lost != h.events()-2 || r.Err() == nil || !strings.Contains(r.Err().Error(), "1 streams dropped") {
		t.Errorf("%d dropped, %d of %d lost: %v", r.Dropped, r.Run.Lost, h.events(), r.Err())
	}
	// What came before in the same read may stand before it.
	if begin, end := "stream 4: the hub ended it; the last it sent: \"", "event: bye\\n\\n\""; !strings.HasPrefix(r.DroppedFirst, begin) || !strings.HasSuffix(r.DroppedFirst, end) {
		t.Errorf("%s, want %s…%s", r.DroppedFirst, begin, end)
	}
}

func TestAnEventOfOneStreamStraysToAnother(t *testing.T) {
	topics := make(map[string]int)
	h := newHub(t, nil)
	h.script = func(n int, event string, streams []chan string) {
		topic, data, _ := strings.Cut(event, " ")
		topics[topic]++
		i := int(topic[len("own/")] - '0')
		streams[i] <- data
		if n == 1 {
			streams[(i+1)%testStreams] <- data
		}
	}
	o := h.options()
	o.Target.OwnTopic, o.Target.Publish.Body = "own/{i}", "{topic} {data}"
	r, err := Measure(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if r.Run.Strayed != 1 || r.Run.Lost != 0 || r.Run.Delivered != h.events() || r.Err() == nil {
		t.Errorf("%+v of %d: %v", r.Run.Counts, h.events(), r.Err())
	}
	if len(topics) != testStreams {
		t.Errorf("published to %v", topics)
	}
}

func TestAnEventOfTheWarmUpThatComesTooLateIsNotTheRuns(t *testing.T) {
	t.Parallel()
	var held string
	h := newHub(t, func(n int, event string, streams []chan string) {
		if n == 0 {
			held = event
			all(n, event, streams[1:])
			return
		}
		all(n, event, streams)
		if held != "" && markOf(event).run == 1 {
			streams[0] <- held
			held = ""
		}
	})
	o := h.options()
	o.Load.Warmup = 20 * time.Millisecond
	r, err := Measure(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if r.Warmup.Lost != 1 || r.Run.Lost != 0 || r.Run.OutOfOrder != 1 || r.Run.Delivered != testStreams*r.Run.Published {
		t.Errorf("warm-up %+v, run %+v", r.Warmup, r.Run.Counts)
	}
}

func TestEventsOfAnotherBenchAreNotCounted(t *testing.T) {
	h := newHub(t, func(n int, event string, streams []chan string) {
		all(n, event, streams)
		m := markOf(event)
		m.id = (m.id + 1) % maxID
		all(n, string(payload(nil, m, 100)), streams)
	})
	if r, err := Measure(t.Context(), h.options()); err != nil || r.Err() != nil || r.Run.Delivered != testStreams*h.events() {
		t.Error(err, r.Err(), r.Run)
	}
}

func TestARefusedPublishIsCountedAndSaysWhy(t *testing.T) {
	var o Options
	h := newHub(t, all)
	full := h.Config.Handler
	n := 0
	h.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/pub" {
			if n++; n == 2 {
				http.Error(w, "the log is full", http.StatusInsufficientStorage)
				return
			}
		}
		full.ServeHTTP(w, r)
	})
	o = h.options()
	r, err := Measure(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if r.Run.Failed != 1 || r.Run.Lost != 0 || !strings.Contains(r.Run.FailedFirst, "507") || !strings.Contains(r.Run.FailedFirst, "log is full") || r.Err() == nil {
		t.Errorf("%+v: %v", r.Run.Counts, r.Err())
	}
}

func TestInterruptedItTellsWhatItHasMeasured(t *testing.T) {
	ctx, interrupt := context.WithCancel(t.Context())
	h := newHub(t, func(n int, event string, streams []chan string) {
		if n == 3 {
			interrupt()
		}
		all(n, event, streams)
	})
	o := h.options()
	o.Load.Duration = time.Hour
	r, err := Measure(ctx, o)
	if err != nil || r.Err() != nil || !r.Interrupted || r.Run == nil || r.Run.Published != 4 || r.Run.Delivered != 4*testStreams {
		t.Errorf("%v: %+v, %+v", err, r, r.Run)
	}
}

func TestInterruptedWhileConnectingItSaysHowFar(t *testing.T) {
	ctx, interrupt := context.WithCancel(t.Context())
	var once sync.Once
	silent := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		once.Do(interrupt)
		<-r.Context().Done()
	}))
	t.Cleanup(silent.Close)
	o := newHub(t, all).options()
	o.Target.Subscribe.URL = silent.URL
	if r, err := Measure(ctx, o); err == nil || !r.Interrupted || !strings.Contains(err.Error(), "0 of 5 streams were live") {
		t.Errorf("%v: %+v", err, r)
	}
}

func TestErrorsSayWhatToDo(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*Options)
		want   []string
	}{
		"a problem": {
			func(o *Options) {
				o.Target.Subscribe.URL = refusing(t, 403, "application/problem+json", `{"code":"forbidden","detail":"not yours","member":"topic","extra":[1]}`)
			},
			[]string{"0 of 5 streams were live: stream ", ": the hub answered 403 Forbidden: forbidden: not yours (topic)"},
		},
		"a problem without detail": {
			func(o *Options) {
				o.Target.Subscribe.URL = refusing(t, 503, "application/problem+json", `{"title":"Not ready"}`)
			},
			[]string{"503 Service Unavailable: Not ready"},
		},
		"a page": {
			func(o *Options) { o.Target.Subscribe.URL = refusing(t, 502, "text/html", "<h1>nginx</h1>") },
			[]string{`502 Bad Gateway: "<h1>nginx</h1>"`},
		},
		"compressed": {
			func(o *Options) {
				o.Target.Subscribe.URL = refusing(t, 200, "text/event-stream", "", "Content-Encoding", "br")
			},
			[]string{"compressed (br)"},
		},
		"never live": {
			func(o *Options) { o.Target.Subscribe.URL = refusing(t, 200, "text/event-stream", "nothing here") },
			[]string{`waiting for "live"`, "the hub ended it", "nothing here"},
		},
		"nobody there": {
			func(o *Options) {
				s := httptest.NewServer(http.NotFoundHandler())
				s.Close()
				o.Target.Subscribe.URL = s.URL
			},
			[]string{"connection refused"},
		},
		"a certificate that nobody signed": {
			func(o *Options) {
				s := httptest.NewUnstartedServer(http.NotFoundHandler())
				s.Config.ErrorLog = nil
				s.StartTLS()
				t.Cleanup(s.Close)
				o.Target.Subscribe.URL = s.URL
			},
			[]string{"x509"},
		},
		"no publish succeeds": {
			func(o *Options) { o.Target.Publish.URL = refusing(t, 401, "text/plain", "who are you") },
			[]string{"nothing could be published", "401 Unauthorized", "who are you"},
		},
		"another scheme":       {func(o *Options) { o.Target.Subscribe.URL = "ws://localhost/" }, []string{"http:// or https://"}},
		"a header without a :": {func(o *Options) { o.Target.Subscribe.Header = []string{"A: b", "secret"} }, []string{"header 2"}},
		"no place for data":    {func(o *Options) { o.Target.Publish.Body = "x" }, []string{"{data}"}},
		"no streams":           {func(o *Options) { o.Load.Streams = 0 }, []string{"0 streams"}},
		"no publishers":        {func(o *Options) { o.Load.Publishers = 0 }, []string{"0 publishers"}},
		"a negative rate":      {func(o *Options) { o.Load.Rate = -1 }, []string{"rate of -1"}},
		"an empty batch":       {func(o *Options) { o.Load.Batch = 0 }, []string{"batch of 0"}},
		"no room for a mark":   {func(o *Options) { o.Load.Size = 20 }, []string{"20 bytes"}},
		"no time":              {func(o *Options) { o.Load.Duration = 0 }, []string{"duration of 0s"}},
		"no such process":      {func(o *Options) { o.PIDs = []int{1 << 30} }, []string{"no such process"}},
	} {
		t.Run(name, func(t *testing.T) {
			o := newHub(t, all).options()
			tt.change(&o)
			_, err := Measure(t.Context(), o)
			if err == nil {
				t.Fatal("no error")
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%v: it does not say %q", err, want)
				}
			}
			if strings.Contains(err.Error(), "secret") {
				t.Errorf("%v: it tells a header", err)
			}
		})
	}
}

func TestTooFewFilesAreSaidBeforehand(t *testing.T) {
	if err := openFiles(10); err != nil {
		t.Error(err)
	}
	if err := openFiles(1 << 40); err == nil || !strings.Contains(err.Error(), "ulimit -n 1099511627840") {
		t.Error(err)
	}
}

func TestAProcessIsReadWithItsThreads(t *testing.T) {
	h := newHub(t, all)
	o := h.options()
	o.PIDs = []int{os.Getpid()} // the hub runs in this process
	r, err := Measure(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	s := r.Server
	if s.Before.RSS < 1<<20 || s.Before.PSS > s.Before.RSS || s.Loaded.PSS < 1<<20 || s.ConnectCPU <= 0 || r.Run.ServerCPU <= 0 || r.Run.ServerCores <= 0 {
		t.Errorf("%+v %+v", s, r.Run)
	}
	if want := float64(s.Idle.PSS-s.Before.PSS) / testStreams; s.IdlePerStream.PSS != want {
		t.Errorf("%v a stream, want %v", s.IdlePerStream.PSS, want)
	}
	o.Load.Idle = true
	if r, err = Measure(t.Context(), o); err != nil || r.Run != nil || r.Server.Loaded != nil || r.Server.Idle.PSS == 0 {
		t.Errorf("%v: %+v", err, r)
	}
}

func TestPlacesAreFilled(t *testing.T) {
	f := filling{topic: "a/b&c", token: "t", i: 7, data: `{"x":1}`}
	r := Request{
		URL: "http://h.example/{topic}?n={i}", Body: "topic={topic}&data={data}&literal={}",
		Header: []string{"Authorization: Bearer {token}", "Host: other.example", "content-type: application/x-www-form-urlencoded; charset=utf-8"},
	}
	req, err := r.build(t.Context(), f, r.body(f))
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if err := req.Write(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"POST /a/b&c?n=7 HTTP/1.1\r\nHost: other.example\r\n", "\r\nAuthorization: Bearer t\r\n",
		"\r\n\r\ntopic=a%2Fb%26c&data=%7B%22x%22%3A1%7D&literal={}",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("it lacks %q:\n%s", want, b.String())
		}
	}
	r.Header = nil
	if body := r.body(f); body != `topic=a/b&c&data={"x":1}&literal={}` {
		t.Error(body)
	}
}
