// Command replay fills a hub's log and reads it back: events published in arrays, then one stream from the earliest
// event to the live tail, then many streams that each miss the last hundred. bench/run.sh starts it.
package main

import (
	"bufio"
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"
)

func main() {
	url := flag.String("url", "http://127.0.0.1:8080", "the hub")
	events := flag.Int("events", 1_000_000, "events to publish")
	batch := flag.Int("batch", 100, "events in an array")
	publishers := flag.Int("publishers", 16, "connections that publish")
	clients := flag.Int("clients", 2000, "streams that resume 100 events behind at once")
	flag.Parse()
	b := &bench{url: *url, token: os.Getenv("ROXY_TOKEN"), http: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: *publishers}}}

	began := time.Now()
	var wg sync.WaitGroup
	for p := range *publishers {
		wg.Go(func() {
			for range *events / *batch / *publishers {
				b.publish(p, *batch)
			}
		})
	}
	wg.Wait()
	took := time.Since(began)
	fmt.Printf("published %d events in arrays of %d over %d connections: %.0f/s\n", *events, *batch, *publishers, float64(*events)/took.Seconds())

	began = time.Now()
	n, size, cursor := b.replay("after=earliest")
	took = time.Since(began)
	fmt.Printf("replayed %d events (%d MB) to one stream: %.0f/s\n", n, size>>20, float64(n)/took.Seconds())

	epoch, head, _ := strings.Cut(cursor, ".")
	var offset int
	if _, err := fmt.Sscan(head, &offset); err != nil {
		log.Fatal(err)
	}
	began = time.Now()
	for range *clients {
		wg.Go(func() {
			if n, _, _ := b.replay(fmt.Sprintf("after=%s.%d", epoch, offset-100)); n != 100 {
				log.Fatalf("a stream 100 events behind got %d", n)
			}
		})
	}
	wg.Wait()
	fmt.Printf("%d streams 100 events behind, at once: all live after %v\n", *clients, time.Since(began).Round(time.Millisecond))
}

type bench struct {
	url, token string
	http       *http.Client
}

func (b *bench) do(method, path string, body io.Reader) *http.Response {
	req, err := http.NewRequestWithContext(context.Background(), method, b.url+path, body)
	if err != nil {
		log.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+b.token)
	req.Header.Set("Content-Type", "application/json")
	resp, err := b.http.Do(req)
	if err != nil {
		log.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK {
		problem, _ := io.ReadAll(resp.Body)
		log.Fatalf("%s: %s", resp.Status, problem)
	}
	return resp
}

func (b *bench) publish(p, n int) {
	var body bytes.Buffer
	for i := range n {
		sep := ','
		if i == 0 {
			sep = '['
		}
		fmt.Fprintf(&body, `%c{"topic":"load/%d","type":"load","data":{"note":"%s"}}`, sep, p, strings.Repeat("x", 200))
	}
	body.WriteByte(']')
	resp := b.do(http.MethodPost, "/v1/events", &body)
	defer func() { _ = resp.Body.Close() }()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		log.Fatal(err)
	}
}

// replay reads a stream until it is live, and returns how many events and bytes came before, and the cursor.
func (b *bench) replay(after string) (events, size int, cursor string) {
	resp := b.do(http.MethodGet, "/v1/stream?topic=load/*&"+after, nil)
	defer func() { _ = resp.Body.Close() }()
	r := bufio.NewReaderSize(resp.Body, 64<<10)
	for {
		line, err := r.ReadSlice('\n')
		if err != nil {
			log.Fatal(err)
		}
		size += len(line)
		switch {
		case bytes.HasPrefix(line, []byte("id: ")):
			cursor = string(bytes.TrimSpace(line[4:]))
		case bytes.HasPrefix(line, []byte("event: load")):
			events++
		case bytes.HasPrefix(line, []byte("event: roxy:live")):
			return events, size, cursor
		}
	}
}
