package main

import (
	"fmt"
	"time"
)

// visit is one party at its table, from sitting down to leaving. All that is said about it carries its correlation.
type visit struct {
	*night
	id     string
	table  int
	merged int // a second table; 0 for none
	guests int
	bill   int // cents
	open   int // orders neither served nor cancelled
	leaves time.Duration
}

// seat gives a party a free table; when there is none it goes elsewhere.
func (n *night) seat() {
	table, ok := n.freeTable()
	if !ok {
		return
	}
	n.visits++
	v := &visit{night: n, id: fmt.Sprintf("visit-%03d", n.visits), table: table, guests: 1 + n.rng.IntN(5)}
	v.leaves = min(n.now+n.between(35*time.Minute, 80*time.Minute), closing-10*time.Minute)
	n.taken[table] = true
	v.waiter(tableTopic(table), "table:seated", struct {
		Guests int `json:"guests"`
	}{v.guests})
	n.in(2*time.Minute, 6*time.Minute, func() { v.order("counter") })
	if n.now < 5*time.Hour && n.chance(75) {
		n.in(5*time.Minute, 12*time.Minute, func() { v.order("kitchen") })
	}
	n.in(9*time.Minute, 16*time.Minute, v.nextRound)
	for range n.rng.IntN(3) {
		n.in(8*time.Minute, 45*time.Minute, func() { v.call("call:waiter") })
	}
	switch {
	case n.chance(15):
		n.in(5*time.Minute, 20*time.Minute, v.move)
	case v.guests > 3 && n.chance(30):
		n.in(5*time.Minute, 20*time.Minute, v.merge)
	}
	n.at(v.leaves, v.askForBill)
}

func (n *night) freeTable() (int, bool) {
	var free []int
	for t := 1; t <= tables; t++ {
		if !n.taken[t] {
			free = append(free, t)
		}
	}
	if len(free) == 0 {
		return 0, false
	}
	return pick(n, free), true
}

// waiter says something as the waiter who looks after the table now.
func (v *visit) waiter(topic, typ string, data any) {
	v.say(v.waiterFor(v.table), "waiter", topic, said{typ: typ, correlation: v.id, data: data})
}

// nextRound orders again until the party is about to leave: mostly drinks.
func (v *visit) nextRound() {
	if v.now > v.leaves-10*time.Minute {
		return
	}
	v.order("counter")
	if v.now < 5*time.Hour+30*time.Minute && v.chance(40) {
		v.order("kitchen")
	}
	v.in(6*time.Minute, 12*time.Minute, v.nextRound)
}

// call is the button on the table; a waiter answers. A call is urgent, and pointless after a quarter of an hour.
func (v *visit) call(typ string) {
	if v.now > v.leaves && typ == "call:waiter" {
		return
	}
	as := fmt.Sprintf("table-%d", v.table)
	topic := callTopic(v.table)
	at := struct {
		Table int `json:"table"`
	}{v.table}
	v.say(as, "table", topic, said{typ: typ, correlation: v.id, roles: []string{"waiter", "supervisor"}, ttl: 15 * time.Minute, urgent: true, data: at})
	v.in(15*time.Second, 4*time.Minute, func() {
		v.say(v.waiterFor(v.table), "waiter", topic, said{typ: "call:answered", correlation: v.id, roles: []string{"waiter", "supervisor"}, data: at})
	})
}

// move takes the party to another table.
func (v *visit) move() {
	to, ok := v.freeTable()
	if !ok || v.now > v.leaves {
		return
	}
	from := v.table
	v.waiter(tableTopic(from), "table:moved", struct {
		From int `json:"from"`
		To   int `json:"to"`
	}{from, to})
	v.taken[from], v.taken[to], v.table = false, true, to
}

// merge takes a second table for a large party.
func (v *visit) merge() {
	with, ok := v.freeTable()
	if !ok || v.now > v.leaves {
		return
	}
	v.waiter(tableTopic(v.table), "table:merged", struct {
		With int `json:"with"`
	}{with})
	v.taken[with], v.merged = true, with
}

// askForBill has the party pay once everything ordered has come.
func (v *visit) askForBill() {
	if v.open > 0 {
		v.in(time.Minute, 3*time.Minute, v.askForBill)
		return
	}
	v.leaves = v.now // nothing is ordered from here on
	if v.chance(60) {
		v.call("call:bill")
	}
	v.in(2*time.Minute, 6*time.Minute, v.pay)
}

// pay sends each part of the bill to the till, which takes it and issues a receipt. Payments are for the till and for
// those who answer for it; a receipt is also for the waiter who brings it.
func (v *visit) pay() {
	parts := 1
	if v.bill > 0 && v.chance(30) {
		parts = min(v.guests, 3)
	}
	v.part(parts, v.bill/parts)
}

func (v *visit) part(left, amount int) {
	if left == 0 || amount == 0 {
		v.in(3*time.Minute, 8*time.Minute, v.leave)
		return
	}
	v.payments++
	topic := fmt.Sprintf("payments/%d", v.payments)
	method := pick(v.night, []string{"card", "card", "cash"})
	waiter := v.waiterFor(v.table)
	v.say(waiter, "waiter", topic, said{typ: "payment:requested", correlation: v.id, roles: []string{"till"}, data: struct {
		Table  int    `json:"table"`
		Amount int    `json:"amount"`
		Method string `json:"method"`
	}{v.table, amount, method}})
	v.in(20*time.Second, 90*time.Second, func() {
		v.say("till", "till", topic, said{typ: "payment:taken", correlation: v.id, roles: []string{"till", "supervisor", "manager"}, data: struct {
			Amount int    `json:"amount"`
			Tip    int    `json:"tip"`
			Method string `json:"method"`
		}{amount, amount * v.rng.IntN(12) / 100, method}})
		v.in(3*time.Second, 12*time.Second, func() {
			v.receipts++
			v.say("till", "till", fmt.Sprintf("receipts/%d", v.receipts), said{
				typ: "receipt:issued", correlation: v.id, roles: []string{"till", "supervisor", "manager"}, users: []string{waiter},
				data: struct {
					Table   int    `json:"table"`
					Payment string `json:"payment"`
					Total   int    `json:"total"`
				}{v.table, topic, amount},
			})
			v.part(left-1, amount)
		})
	})
}

// leave frees the table.
func (v *visit) leave() {
	v.waiter(tableTopic(v.table), "table:cleared", struct{}{})
	v.taken[v.table] = false
	if v.merged != 0 {
		v.waiter(tableTopic(v.merged), "table:cleared", struct{}{})
		v.taken[v.merged] = false
	}
}
