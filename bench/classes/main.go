// Command classes opens streams that share much or little: so many tenants, with so many classes of streams each, and
// publishes to all of them. It tells what a stream takes of the hub's memory, what a delivery takes of its time, and how
// many bytes it is. bench/run.sh starts it.
package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/roxyhub/roxy/auth"
)

func main() {
	b := &bench{}
	flag.StringVar(&b.url, "url", "http://127.0.0.1:9080", "the hub")
	flag.StringVar(&b.admin, "admin", "http://127.0.0.1:9081", "its operator's listener")
	flag.IntVar(&b.pid, "pid", 0, "its process")
	secret := flag.String("secret", "", "the file of the secret that it verifies tokens with (HS256)")
	streams := flag.Int("streams", 10_000, "streams in all")
	tenants := flag.Int("tenants", 1, "tenants that they are spread over")
	classes := flag.Int("classes", 5, "classes of each tenant")
	rate := flag.Float64("rate", 5, "events per second, over all tenants; each goes to all streams of its tenant")
	duration := flag.Duration("duration", 5*time.Second, "of the publishing")
	gzip := flag.Bool("gzip", false, "compressed streams")
	flag.Parse()
	key, err := os.ReadFile(*secret)
	if err != nil {
		log.Fatal(err)
	}
	b.tokens = make([]string, *tenants)
	for i := range b.tokens {
		b.tokens[i] = token(bytes.TrimSpace(key), fmt.Sprintf("tenant%d", i))
	}
	encoding := "identity"
	if *gzip {
		encoding = "gzip"
	}
	b.http = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64, DisableCompression: true}}

	before := b.rss()
	var live, open sync.WaitGroup
	slots := make(chan struct{}, 64)
	for i := range *streams {
		slots <- struct{}{}
		live.Add(1)
		class := i / *tenants % *classes
		open.Go(func() {
			b.listen(b.tokens[i%*tenants], fmt.Sprintf("topic=load/*&topic=class/%d", class), encoding, func() { live.Done(); <-slots })
		})
	}
	live.Wait()
	time.Sleep(2 * time.Second) // the hub collects what a storm of connections left
	idle := b.rss()
	fmt.Printf("%d streams, %d tenants with %d classes each, %s\n", *streams, *tenants, *classes, encoding)
	fmt.Printf("  idle: %.2f KB of memory a stream\n", float64(idle-before)/1024/float64(*streams))

	events, sent, cpu := b.metric("roxy_delivered_events_total"), b.metric("roxy_delivered_bytes_total"), b.cpu()
	published := b.publish(*rate, *duration)
	time.Sleep(500 * time.Millisecond)
	n := b.metric("roxy_delivered_events_total") - events
	want := float64(published) * float64(*streams) / float64(*tenants)
	fmt.Printf("  %d events published, %.0f of %.0f deliveries: %.2f µs each with its share of the publishing, %.0f bytes; %.2f KB a stream then\n",
		published, n, want, (b.cpu()-cpu)/n, (b.metric("roxy_delivered_bytes_total")-sent)/n, float64(b.rss()-before)/1024/float64(*streams))
}

type bench struct {
	url, admin string
	pid        int
	tokens     []string
	http       *http.Client
}

func token(key []byte, tenant string) string {
	t, err := auth.SignDevelopment(key, auth.Claims{User: "bench", Tenant: tenant, Roles: []string{"bench"}, Expires: time.Now().Add(time.Hour)})
	if err != nil {
		log.Fatal(err)
	}
	return t
}

func (b *bench) do(method, url, token, encoding string, body io.Reader) *http.Response {
	req, err := http.NewRequestWithContext(context.Background(), method, url, body)
	if err != nil {
		log.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept-Encoding", encoding)
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

// listen reads a stream for ever; it calls live once it has read something.
func (b *bench) listen(token, query, encoding string, live func()) {
	resp := b.do(http.MethodGet, b.url+"/v1/stream?"+query, token, encoding, nil)
	defer func() { _ = resp.Body.Close() }()
	buf := make([]byte, 1<<10)
	for first := true; ; first = false {
		if _, err := resp.Body.Read(buf); err != nil {
			log.Fatalf("a stream ended: %v", err)
		}
		if first {
			live()
		}
	}
}

// publish sends one event at a time, of 230 to 830 bytes of JSON, and returns how many there were.
func (b *bench) publish(rate float64, duration time.Duration) int {
	var done atomic.Int64
	var wg sync.WaitGroup
	due := make(chan int, 1000)
	for range 16 {
		wg.Go(func() {
			for i := range due {
				resp := b.do(http.MethodPost, b.url+"/v1/events", b.tokens[i%len(b.tokens)], "identity", strings.NewReader(order(i)))
				_, _ = io.Copy(io.Discard, resp.Body)
				_ = resp.Body.Close()
				done.Add(1)
			}
		})
	}
	began := time.Now()
	for i := 0; time.Since(began) < duration; i++ {
		time.Sleep(time.Until(began.Add(time.Duration(float64(i) / rate * float64(time.Second)))))
		due <- i
	}
	close(due)
	wg.Wait()
	return int(done.Load())
}

// order is an event like those of a bar, of its own for every n.
func order(n int) string {
	r := rand.New(rand.NewPCG(uint64(n), 7)) //nolint:gosec // the same orders in every run
	var lines []string
	for range 1 + r.IntN(6) {
		lines = append(lines, fmt.Sprintf(`{"product":"p-%d","name":"%s","quantity":%d,"price":%d.%02d,"note":""}`,
			r.IntN(400), []string{"Espresso", "Negroni", "Club Sandwich", "Beer 0.5", "Caesar salad"}[r.IntN(5)], 1+r.IntN(4), r.IntN(20), r.IntN(100)))
	}
	return fmt.Sprintf(`{"topic":"load/%d","type":"order:new","data":{"id":"o-%d","table":%d,"status":"open","guests":%d,"lines":[%s]}}`,
		n%500, r.IntN(1_000_000), r.IntN(60), r.IntN(8), strings.Join(lines, ","))
}

// metric returns the sum of the samples of a metric.
func (b *bench) metric(name string) (sum float64) {
	resp := b.do(http.MethodGet, b.admin+"/metrics", "", "identity", nil)
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		log.Fatal(err)
	}
	found := false
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, name); ok && (rest[0] == ' ' || rest[0] == '{') {
			v, err := strconv.ParseFloat(strings.TrimSpace(line[strings.LastIndexByte(line, ' '):]), 64)
			if err != nil {
				log.Fatal(err)
			}
			sum, found = sum+v, true
		}
	}
	if !found {
		log.Fatalf("the hub has no metric %s", name)
	}
	return sum
}

// rss returns the hub's resident memory in bytes.
func (b *bench) rss() int {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", b.pid))
	if err != nil {
		log.Fatal(err)
	}
	pages, err := strconv.Atoi(strings.Fields(string(text))[1])
	if err != nil {
		log.Fatal(err)
	}
	return pages * os.Getpagesize()
}

// cpu returns the hub's processor time in µs.
func (b *bench) cpu() (total float64) {
	tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", b.pid))
	if err != nil {
		log.Fatal(err)
	}
	for _, t := range tasks {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/schedstat", b.pid, t.Name()))
		if err != nil {
			continue // the thread ended
		}
		ns, err := strconv.ParseFloat(strings.Fields(string(text))[0], 64)
		if err != nil {
			log.Fatal(err)
		}
		total += ns / 1000
	}
	return total
}
