// Command stuck opens streams and reads nothing of them, as a tablet that was put away does, and tells when the hub gave
// them up. bench/run.sh starts it.
package main

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"strings"
	"sync"
	"time"
)

func main() {
	hub := flag.String("hub", "127.0.0.1:9080", "the hub's address")
	n := flag.Int("n", 100, "streams")
	hold := flag.Duration("hold", 20*time.Second, "how long they take nothing")
	flag.Parse()
	var all []net.Conn
	for range *n {
		all = append(all, open(*hub))
	}
	fmt.Printf("%d streams read nothing from now on\n", *n)
	time.Sleep(*hold)
	var ended, bytes int
	var mu sync.Mutex
	var wg sync.WaitGroup
	for _, c := range all {
		wg.Go(func() {
			if err := c.SetReadDeadline(time.Now().Add(time.Second)); err != nil {
				log.Fatal(err)
			}
			got, err := io.Copy(io.Discard, c)
			mu.Lock()
			defer mu.Unlock()
			bytes += int(got)
			if e, ok := err.(net.Error); !ok || !e.Timeout() { //nolint:errorlint // of a connection, not wrapped
				ended++
			}
		})
	}
	wg.Wait()
	fmt.Printf("%d of them were given up; each had %d KB on its way\n", ended, bytes / *n >> 10)
}

// open returns a live stream.
func open(hub string) net.Conn {
	c, err := new(net.Dialer).DialContext(context.Background(), "tcp", hub)
	if err != nil {
		log.Fatal(err)
	}
	if _, err := fmt.Fprintf(c, "GET /v1/stream?topic=shared HTTP/1.1\r\nHost: hub\r\nAuthorization: Bearer %s\r\n\r\n", os.Getenv("ROXY_TOKEN")); err != nil {
		log.Fatal(err)
	}
	for lines := bufio.NewReaderSize(c, 1<<10); ; {
		line, err := lines.ReadString('\n')
		if err != nil {
			log.Fatal(err)
		}
		if strings.HasPrefix(line, "event: roxy:live") {
			return c
		}
	}
}
