// Command evening writes one busy evening at the bar as NDJSON, the file that the examples play:
//
//	go run ./examples/bar/evening > examples/bar/evening.ndjson
//
// It is a simulation, not a list: parties come as the hour has it, sit down where there is room, order, wait, call, move,
// pay and leave, and whatever is said on the way becomes an event. One seed gives one evening, to the byte.
package main

import (
	"bufio"
	"flag"
	"fmt"
	"io"
	"os"
)

// defaultSeed is that of the committed file.
const defaultSeed = 1800

func main() {
	seed := flag.Uint64("seed", defaultSeed, "which evening")
	flag.Parse()
	if err := write(os.Stdout, *seed); err != nil {
		fmt.Fprintln(os.Stderr, "evening:", err)
		os.Exit(1)
	}
}

func write(w io.Writer, seed uint64) error {
	out := bufio.NewWriter(w)
	for i, turn := range simulate(seed) {
		turn.Event.ID = fmt.Sprintf("%05d", i+1)
		if err := turn.Write(out); err != nil {
			return err
		}
	}
	return out.Flush()
}
