//go:build unix

package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"sync"
	"time"
)

// others are streams that have missed nothing, in a process of their own.
type others struct {
	process *exec.Cmd
	ask     io.WriteCloser
	answers *bufio.Scanner
}

// startOthers runs this program a second time.
func startOthers() *others {
	o := &others{process: exec.CommandContext(context.Background(), os.Args[0], append([]string{"-only-others"}, os.Args[1:]...)...)} //nolint:gosec // itself
	o.process.Stderr = os.Stderr
	var err error
	if o.ask, err = o.process.StdinPipe(); err != nil {
		log.Fatal(err)
	}
	out, err := o.process.StdoutPipe()
	if err != nil {
		log.Fatal(err)
	}
	o.answers = bufio.NewScanner(out)
	if err := o.process.Start(); err != nil {
		log.Fatal(err)
	}
	o.take() // they are live
	return o
}

// take tells the latency of the deliveries since the last take.
func (o *others) take() string {
	if _, err := o.ask.Write([]byte("\n")); err != nil {
		log.Fatal(err)
	}
	if !o.answers.Scan() {
		log.Fatalf("the others ended: %v", o.answers.Err())
	}
	return o.answers.Text()
}

func (o *others) stop() {
	_ = o.ask.Close()
	if err := o.process.Wait(); err != nil {
		log.Fatal(err)
	}
}

// listen opens n streams, publishes to them at a rate, and answers each line of its input with the latency until then.
func (s *storm) listen(n, rate int) {
	var mu sync.Mutex
	var took latency
	s.coding = "identity"
	began := time.Now()
	dials := make(chan struct{}, n)
	for range n {
		r := s.open("topic=storm/live", dials)
		r.data = func(envelope []byte) {
			_, text, _ := bytes.Cut(envelope, []byte(`"data":`))
			at, err := strconv.ParseInt(string(bytes.TrimSuffix(text, []byte("}"))), 10, 64)
			if err != nil {
				log.Fatalf("not a time: %s", envelope)
			}
			mu.Lock()
			took = append(took, time.Since(began)-time.Duration(at))
			mu.Unlock()
		}
		r.read(func(r *reader) bool { return r.live })
		go r.read(func(*reader) bool { return false })
	}
	go func() {
		for range time.Tick(time.Second / time.Duration(rate)) {
			at := time.Since(began)
			go func() {
				if _, err := s.publish([]map[string]any{{"topic": "storm/live", "data": int64(at)}}); err != nil {
					log.Print(err) // a hub that is overloaded says so
				}
			}()
		}
	}()
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		mu.Lock()
		fmt.Println(took)
		took = nil
		mu.Unlock()
	}
}

// latency is how long deliveries took.
type latency []time.Duration

func (l latency) String() string {
	slices.Sort(l)
	if len(l) == 0 {
		return "nothing delivered"
	}
	at := func(q float64) time.Duration { return l[int(q*float64(len(l)-1))].Round(100 * time.Microsecond) }
	return fmt.Sprintf("p50 %v, p99 %v, at most %v (%d deliveries)", at(0.5), at(0.99), at(1), len(l))
}
