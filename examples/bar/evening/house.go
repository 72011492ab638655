package main

import (
	"fmt"
	"time"
)

// product is one thing that is sold; prices are in cents.
type product struct {
	name    string
	station string // who makes it: kitchen or counter
	price   int
}

// menu is what the bar sells.
func menu() []product {
	return []product{
		{"margherita", "kitchen", 950},
		{"diavola", "kitchen", 1150},
		{"burger", "kitchen", 1290},
		{"caesar-salad", "kitchen", 1090},
		{"club-sandwich", "kitchen", 980},
		{"fries", "kitchen", 450},
		{"olives", "kitchen", 390},
		{"bruschetta", "kitchen", 620},
		{"tiramisu", "kitchen", 580},
		{"spritz", "counter", 690},
		{"negroni", "counter", 890},
		{"gin-tonic", "counter", 920},
		{"moscow-mule", "counter", 940},
		{"draught-beer", "counter", 480},
		{"wheat-beer", "counter", 510},
		{"house-red", "counter", 560},
		{"house-white", "counter", 560},
		{"sparkling-water", "counter", 320},
		{"lemonade", "counter", 410},
		{"espresso", "counter", 250},
	}
}

// shift is when one waiter works; the breaks of 15 minutes lie in the middle.
type shift struct{ from, to time.Duration }

// planShifts lets the waiters come as the evening fills and leave as it empties; two stay to the end.
func (n *night) planShifts() {
	plan := [waiters + 1]shift{
		1: {0, 6 * time.Hour},
		2: {0, closing + time.Hour},
		3: {45 * time.Minute, 6*time.Hour + 30*time.Minute},
		4: {time.Hour, 7 * time.Hour},
		5: {2 * time.Hour, closing + time.Hour},
		6: {2*time.Hour + 30*time.Minute, 7*time.Hour + 20*time.Minute},
	}
	for w := 1; w <= waiters; w++ {
		user, when := fmt.Sprintf("waiter-%d", w), plan[w]
		tell := func(at time.Duration, typ string, onDuty bool) {
			n.at(at, func() {
				n.onDuty[w] = onDuty
				n.say("manager", "manager", "shifts/"+user, said{typ: typ, data: map[string]string{"user": user}})
			})
		}
		pause := (when.from+when.to)/2 + time.Duration(w)*3*time.Minute
		tell(when.from, "shift:started", true)
		tell(pause, "shift:break", false)
		tell(pause+15*time.Minute, "shift:resumed", true)
		tell(when.to, "shift:ended", false)
	}
}

// planShortages lets things run out and come back, more often the later it gets.
func (n *night) planShortages() {
	for range 26 {
		which := n.rng.IntN(len(n.soldOut))
		from := n.between(30*time.Minute, closing-time.Hour)
		back := from + n.between(10*time.Minute, 75*time.Minute)
		n.at(from, func() {
			if n.soldOut[which] {
				return
			}
			n.soldOut[which] = true
			n.tellProduct(which, "product:unavailable")
			n.at(back, func() {
				n.soldOut[which] = false
				n.tellProduct(which, "product:available")
			})
		})
	}
}

func (n *night) tellProduct(which int, typ string) {
	p := menu()[which]
	n.say(p.station, p.station, "products/"+p.name, said{typ: typ, data: struct {
		Product string `json:"product"`
	}{p.name}})
}

// planNotes lets the manager and the supervisor write to one person at a time; nobody else is to read it.
func (n *night) planNotes() {
	texts := []string{
		"table 7 are regulars, the first round is on the house", "please take your break before the rush",
		"the couple at 12 waits for an umbrella", "birthday at table 4, cake at eleven", "slow down with the ice, the machine is behind",
		"the group at 18 pays together", "great work tonight", "check the receipt roll when you pass the till",
	}
	readers := []string{"waiter-1", "waiter-2", "waiter-3", "waiter-4", "waiter-5", "waiter-6", "kitchen", "counter"}
	for range 40 {
		n.at(n.between(10*time.Minute, closing), func() {
			from, reader := pick(n, []string{"manager", "supervisor"}), pick(n, readers)
			n.say(from, from, "notes/"+reader, said{typ: "note:new", users: []string{reader}, data: struct {
				Text string `json:"text"`
			}{pick(n, texts)}})
		})
	}
}
