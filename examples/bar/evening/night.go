package main

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/roxyhub/roxy"
	bar "github.com/roxyhub/roxy/examples/bar"
)

const (
	tables  = 20
	waiters = 6
	closing = 8 * time.Hour // 02:00
)

// night is the state of the bar at one moment of the simulation.
type night struct {
	rng    *rand.Rand
	now    time.Duration
	agenda agenda
	turns  []bar.Turn

	planned  int
	taken    [tables + 1]bool  // by table number
	onDuty   [waiters + 1]bool // by waiter number
	soldOut  []bool            // by product of the menu
	visits   int
	orders   int
	payments int
	receipts int
}

// simulate returns what is said in the evening of that seed, in order.
func simulate(seed uint64) []bar.Turn {
	n := &night{rng: rand.New(rand.NewPCG(seed, 0)), soldOut: make([]bool, len(menu()))} //nolint:gosec // has to repeat itself
	n.planShifts()
	n.planShortages()
	n.planNotes()
	n.nextParty()
	for n.agenda.Len() > 0 {
		next := heap.Pop(&n.agenda).(*entry)
		n.now = next.at
		next.do()
	}
	return n.turns
}

// entry is something that will happen.
type entry struct {
	at    time.Duration
	order int // of planning: settles which of two at one moment is first
	do    func()
}

// agenda is a heap of what will happen, the earliest first.
type agenda []*entry

// Len counts what will happen.
func (a *agenda) Len() int { return len(*a) }

// Less puts the earlier first, and of two at one moment the one that was planned first.
func (a *agenda) Less(i, j int) bool {
	x, y := (*a)[i], (*a)[j]
	return x.at < y.at || x.at == y.at && x.order < y.order
}

// Swap swaps two entries.
func (a *agenda) Swap(i, j int) { (*a)[i], (*a)[j] = (*a)[j], (*a)[i] }

// Push appends an entry.
func (a *agenda) Push(x any) { *a = append(*a, x.(*entry)) }

// Pop takes the last one away.
func (a *agenda) Pop() any {
	last := (*a)[len(*a)-1]
	*a = (*a)[:len(*a)-1]
	return last
}

// at lets do happen at a moment.
func (n *night) at(moment time.Duration, do func()) {
	n.planned++
	heap.Push(&n.agenda, &entry{at: moment, order: n.planned, do: do})
}

// in lets do happen after a time between low and high.
func (n *night) in(low, high time.Duration, do func()) { n.at(n.now+n.between(low, high), do) }

// between returns whole milliseconds, which is what the file can tell apart.
func (n *night) between(low, high time.Duration) time.Duration {
	return low + time.Duration(n.rng.Int64N(int64((high-low)/time.Millisecond)))*time.Millisecond
}

// chance is true in percent of a hundred cases.
func (n *night) chance(percent int) bool { return n.rng.IntN(100) < percent }

// pick returns one of the choices.
func pick[T any](n *night, choices []T) T { return choices[n.rng.IntN(len(choices))] }

// said is what one turn adds to who says it and where.
type said struct {
	typ         string
	correlation string
	roles       []string // audience
	users       []string // audience
	ttl         time.Duration
	urgent      bool
	data        any
}

// say lets somebody say something now.
func (n *night) say(as, role, topic string, s said) {
	data, err := json.Marshal(s.data)
	if err != nil {
		panic("BUG: " + err.Error())
	}
	parsed, err := roxy.ParseTopic(topic)
	if err != nil {
		panic("BUG: " + err.Error())
	}
	to, err := roxy.NewAudience(s.roles, s.users)
	if err != nil {
		panic("BUG: " + err.Error())
	}
	n.turns = append(n.turns, bar.Turn{At: n.now, As: as, Roles: []string{role}, Event: roxy.Event{
		Topic: parsed, Type: s.typ, Correlation: s.correlation, To: to, TTL: s.ttl, Urgent: s.urgent, Data: data,
	}})
}

// nextParty lets parties come, more of them at dinner and again when the music starts, none in the last half hour.
func (n *night) nextParty() {
	// Parties an hour from each moment on, drawn as a line between them.
	rush := []struct {
		from time.Duration
		rate float64
	}{
		{0, 14},
		{90 * time.Minute, 32},
		{150 * time.Minute, 42},
		{4 * time.Hour, 22},
		{5 * time.Hour, 36},
		{390 * time.Minute, 24},
		{435 * time.Minute, 6},
		{closing - 30*time.Minute, 0},
	}
	rate := func(at time.Duration) float64 {
		for i := 1; i < len(rush); i++ {
			if a, b := rush[i-1], rush[i]; at < b.from {
				return a.rate + (b.rate-a.rate)*float64(at-a.from)/float64(b.from-a.from)
			}
		}
		return 0
	}
	const most = 45.0 // an hour: candidates come at this rate and are taken with the chance rate/most
	gap := time.Duration(n.rng.ExpFloat64() / most * float64(time.Hour)).Truncate(time.Millisecond)
	if n.now+gap >= closing-30*time.Minute {
		return
	}
	n.at(n.now+gap, func() {
		if n.rng.Float64()*most < rate(n.now) {
			n.seat()
		}
		n.nextParty()
	})
}

// waiterFor returns the waiter on duty who looks after a table: each has a stretch of neighbouring ones.
func (n *night) waiterFor(table int) string {
	var duty []int
	for w := 1; w <= waiters; w++ {
		if n.onDuty[w] {
			duty = append(duty, w)
		}
	}
	return "waiter-" + strconv.Itoa(duty[(table-1)*len(duty)/tables])
}

// tableTopic and the like name where things are said.
func tableTopic(table int) string { return fmt.Sprintf("tables/%d", table) }
func callTopic(table int) string  { return fmt.Sprintf("calls/%d", table) }
func orderTopic(order int) string { return fmt.Sprintf("orders/%d", order) }
