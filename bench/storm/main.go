//go:build unix

// Command storm has many streams miss the same thousand events and come back at once, as the tablets of a house do when its
// network returns. It tells when all had caught up, what the hub took for it, and how late others heard of what was
// published meanwhile. bench/run.sh starts it.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

func main() {
	var s storm
	flag.StringVar(&s.hub, "hub", "127.0.0.1:9080", "the hub's address")
	flag.IntVar(&s.streams, "streams", 10_000, "devices that come back")
	flag.IntVar(&s.classes, "classes", 5, "into so many classes they fall")
	flag.IntVar(&s.behind, "behind", 1000, "events that each missed: half of them are for all classes")
	flag.IntVar(&s.size, "size", 250, "bytes of an event's data")
	flag.IntVar(&s.dials, "dials", 512, "streams that are being opened at the same time")
	flag.StringVar(&s.coding, "coding", "identity", "what the streams accept: identity or gzip")
	others := flag.Int("others", 20, "streams that listen to what is published meanwhile")
	rate := flag.Int("rate", 50, "events a second that are published meanwhile")
	flag.IntVar(&s.pid, "pid", 0, "the hub's process, for its memory")
	only := flag.Bool("only-others", false, "listen and publish, and tell of it for each line that is read: a process of its own, so that nobody waits for this one's streams")
	flag.Parse()
	s.token = os.Getenv("ROXY_TOKEN")
	if *only {
		s.listen(*others, *rate)
		return
	}

	s.register()
	s.publishMissed()
	live := startOthers()
	time.Sleep(3 * time.Second)
	alone := live.take()
	before, peak, stop := s.watchMemory()
	began := time.Now()
	took := s.comeBack()
	all := time.Since(began)
	meanwhile := live.take()
	stop()
	live.stop()
	slices.Sort(took)
	at := func(q float64) time.Duration { return took[int(q*float64(len(took)-1))].Round(time.Millisecond) }
	deliveries := float64(s.streams * s.behind)
	fmt.Printf("%d devices of %d classes, each %d events of %d bytes behind (%s): all caught up after %v; p50 %v, p99 %v; %.2f M deliveries/s, %.0f MB/s; %d times sent away\n",
		s.streams, s.classes, s.behind, s.size, s.coding, all.Round(time.Millisecond), at(0.5), at(0.99), deliveries/all.Seconds()/1e6, float64(s.bytes.Load())/1e6/all.Seconds(), s.refused.Load())
	fmt.Printf("memory of the hub: %d MB before, %d MB at most\n", before>>20, peak()>>20)
	fmt.Printf("latency of %d events a second to %d others: alone %s; meanwhile %s\n", *rate, *others, alone, meanwhile)
}

// storm is the load, and what is counted of it.
type storm struct {
	hub, token, coding                    string
	streams, classes, behind, size, dials int
	pid                                   int
	refused, bytes                        atomic.Int64
}

// device is how a device subscribes: it says nothing of where it was.
func (s *storm) device(i int) string {
	return fmt.Sprintf("topic=storm/all&topic=storm/own%d/*&device=tablet-%d", i%s.classes, i)
}

// register makes the hub know the devices, which then go away.
func (s *storm) register() {
	dials := make(chan struct{}, s.dials)
	var wg sync.WaitGroup
	for i := range s.streams {
		wg.Go(func() {
			for live := false; !live; {
				r := s.open(s.device(i), dials)
				r.read(func(r *reader) bool { return r.live || r.bye })
				live = r.live
				_ = r.conn.Close()
			}
		})
	}
	wg.Wait()
	s.bytes.Store(0)
}

// publishMissed publishes what is missed.
func (s *storm) publishMissed() {
	note := strings.Repeat("x", max(0, s.size-len(`{"note":""}`)))
	var batch []map[string]any
	for i := range s.behind {
		if i%2 == 0 {
			batch = append(batch, map[string]any{"topic": "storm/all", "data": map[string]string{"note": note}})
		} else {
			for class := range s.classes {
				batch = append(batch, map[string]any{"topic": fmt.Sprintf("storm/own%d/x", class), "data": map[string]string{"note": note}})
			}
		}
		if len(batch) >= 100 || i == s.behind-1 {
			s.mustPublish(batch)
			batch = batch[:0]
		}
	}
}

// publish returns the cursor of the last event.
func (s *storm) publish(events []map[string]any) (string, error) {
	body, err := json.Marshal(events)
	if err != nil {
		return "", err
	}
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, "http://"+s.hub+"/v1/events", bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	req.Header.Set("Authorization", "Bearer "+s.token)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return "", err
	}
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%s: %s", resp.Status, text)
	}
	var answer struct{ Events []struct{ Cursor string } }
	if err := json.Unmarshal(text, &answer); err != nil || len(answer.Events) == 0 {
		return "", fmt.Errorf("an answer without events: %s", text)
	}
	return answer.Events[len(answer.Events)-1].Cursor, nil
}

func (s *storm) mustPublish(events []map[string]any) string {
	cursor, err := s.publish(events)
	if err != nil {
		log.Fatal(err)
	}
	return cursor
}

// comeBack opens all streams and returns how long each took until it was live, counted from now.
func (s *storm) comeBack() []time.Duration {
	took := make([]time.Duration, s.streams)
	dials := make(chan struct{}, s.dials)
	began := time.Now()
	var wg sync.WaitGroup
	for i := range s.streams {
		wg.Go(func() {
			for {
				r := s.open(s.device(i), dials)
				r.read(func(r *reader) bool { return r.live || r.bye })
				if r.live {
					if r.events != s.behind {
						log.Fatalf("a stream %d events behind got %d", s.behind, r.events)
					}
					break
				}
				s.refused.Add(1)
				time.Sleep(r.retry)
			}
			took[i] = time.Since(began)
		})
	}
	wg.Wait()
	return took
}

// open asks for a stream.
func (s *storm) open(query string, dials chan struct{}) *reader {
	dials <- struct{}{}
	defer func() { <-dials }()
	c, err := new(net.Dialer).DialContext(context.Background(), "tcp", s.hub)
	if err != nil {
		log.Fatal(err)
	}
	if _, err := fmt.Fprintf(c, "GET /v1/stream?%s HTTP/1.1\r\nHost: hub\r\nAccept-Encoding: %s\r\nAuthorization: Bearer %s\r\n\r\n", query, s.coding, s.token); err != nil {
		log.Fatal(err)
	}
	return &reader{conn: c.(*net.TCPConn), bytes: &s.bytes, packed: s.coding == "gzip"} //nolint:forcetypeassert // it was dialled as one
}

// watchMemory returns what the hub holds now, and what gives the most that it held until stop.
func (s *storm) watchMemory() (before int64, peak func() int64, stop func()) {
	if s.pid == 0 {
		return 0, func() int64 { return 0 }, func() {}
	}
	var most atomic.Int64
	before = memory(s.pid)
	over, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			most.Store(max(most.Load(), memory(s.pid)))
			select {
			case <-over:
				return
			case <-time.After(50 * time.Millisecond):
			}
		}
	}()
	return before, most.Load, func() { close(over); <-done }
}

// memory returns the resident memory of a process, in bytes.
func memory(pid int) int64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		log.Fatal(err)
	}
	var size, resident int64
	if _, err := fmt.Sscan(string(text), &size, &resident); err != nil {
		log.Fatal(err)
	}
	return resident * int64(os.Getpagesize())
}
