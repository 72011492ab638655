// Command faultproxy stands between the clients of a test in any language and a hub, and breaks the network between them as
// it is told: one JSON object with one member on each line of its input (command), each answered by one line. It ends with
// its input.
package main

import (
	"bufio"
	"fmt"
	"io"
	"os"

	"github.com/go-json-experiment/json"

	"github.com/roxyhub/roxy/internal/faultproxy"
)

// largestLine bounds a command.
const largestLine = 1 << 20

// command has one of these.
type command struct {
	// Faults befall requests from now on, and come before earlier ones; Mend forgets all.
	Faults *[]faultproxy.Fault `json:"faults"`
	Mend   *struct{}           `json:"mend"`
	// Cut, Freeze and Thaw are for open connections; the answer's count tells how many.
	Cut    *selection `json:"cut"`
	Freeze *selection `json:"freeze"`
	Thaw   *selection `json:"thaw"`
	// Refuse makes connections fail as where nothing listens, or ends that.
	Refuse *bool `json:"refuse"`
	// Log asks for the requests so far, behind so many.
	Log *int `json:"log"`
}

// selection is which connections, by their last request, the oldest first.
type selection struct {
	faultproxy.Where
	// Most of them; 0 is all.
	Most int `json:"most"`
	// End is how a cut ends them.
	End faultproxy.End `json:"end"`
}

// answer is that to one command.
type answer struct {
	Error    string               `json:"error,omitempty"`
	Address  string               `json:"address,omitempty"` // in the first line, which answers nothing
	Count    int                  `json:"count"`
	Requests []faultproxy.Request `json:"requests,omitempty"`
}

func main() {
	if len(os.Args) != 2 {
		_, _ = fmt.Fprintln(os.Stderr, "usage: faultproxy HOST:PORT")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Stdin, os.Stdout); err != nil {
		_, _ = fmt.Fprintf(os.Stderr, "faultproxy: %v\n", err)
		os.Exit(1)
	}
}

// run is the program between its streams.
func run(target string, in io.Reader, out io.Writer) error {
	p, err := faultproxy.Start(target)
	if err != nil {
		return err
	}
	defer p.Close()
	if err := tell(out, answer{Address: p.Addr()}); err != nil {
		return err
	}
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, largestLine)
	for lines.Scan() {
		a, err := obey(p, lines.Bytes())
		if err != nil {
			a = answer{Error: err.Error()}
		}
		if err := tell(out, a); err != nil {
			return err
		}
	}
	return lines.Err()
}

func tell(out io.Writer, a answer) error {
	text, err := json.Marshal(a)
	if err != nil {
		return err
	}
	_, err = out.Write(append(text, '\n'))
	return err
}

func obey(p *faultproxy.Proxy, line []byte) (answer, error) {
	var c command
	if err := json.Unmarshal(line, &c, json.RejectUnknownMembers(true)); err != nil {
		return answer{}, err
	}
	members := 0
	for _, there := range []bool{c.Faults != nil, c.Mend != nil, c.Cut != nil, c.Freeze != nil, c.Thaw != nil, c.Refuse != nil, c.Log != nil} {
		if there {
			members++
		}
	}
	if members != 1 {
		return answer{}, fmt.Errorf("%d of faults, mend, cut, freeze, thaw, refuse and log, want one", members)
	}
	for name, s := range map[string]*selection{"cut": c.Cut, "freeze": c.Freeze, "thaw": c.Thaw} {
		if s == nil {
			continue
		}
		if err := s.Check(); err != nil {
			return answer{}, fmt.Errorf("%s.%w", name, err)
		}
		if s.Most < 0 {
			return answer{}, fmt.Errorf("%s.most: %d, want at least 0", name, s.Most)
		}
	}
	switch {
	case c.Faults != nil:
		return answer{}, p.Break(*c.Faults...)
	case c.Mend != nil:
		p.Mend()
		return answer{}, nil
	case c.Cut != nil:
		n, err := p.Cut(c.Cut.Where, c.Cut.End, c.Cut.Most)
		return answer{Count: n}, err
	case c.Freeze != nil:
		return answer{Count: p.Freeze(c.Freeze.Where, c.Freeze.Most)}, nil
	case c.Thaw != nil:
		return answer{Count: p.Thaw(c.Thaw.Where)}, nil
	case c.Refuse != nil:
		return answer{}, p.Refuse(*c.Refuse)
	}
	log := p.Log()
	if *c.Log < 0 || *c.Log > len(log) {
		return answer{}, fmt.Errorf("log: %d, want 0 to %d", *c.Log, len(log))
	}
	return answer{Count: len(log), Requests: log[*c.Log:]}, nil
}
