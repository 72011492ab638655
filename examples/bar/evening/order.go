package main

import "time"

// item is a line of an order.
type item struct {
	Product  string `json:"product"`
	Quantity int    `json:"quantity"`
	Price    int    `json:"price"` // cents, of one
}

// order lets the waiter send an order to a station, which makes it; the waiter carries it out. It is for the station
// and for those who deal with the table: the counter has no use for pizzas, nor the kitchen for beers.
func (v *visit) order(station string) {
	items, total := v.choose(station)
	if len(items) == 0 || v.now > v.leaves {
		return
	}
	v.orders++
	v.open++
	topic := orderTopic(1000 + v.orders)
	tell := func(as, role, typ string, data any) {
		v.say(as, role, topic, said{
			typ: typ, correlation: v.id, roles: []string{station, "waiter", "till", "supervisor", "manager"}, data: data,
		})
	}
	tell(v.waiterFor(v.table), "waiter", "order:new", struct {
		Table   int    `json:"table"`
		Station string `json:"station"`
		Items   []item `json:"items"`
	}{v.table, station, items})
	begin, end := 2*time.Minute, 6*time.Minute
	if station == "kitchen" {
		begin, end = 9*time.Minute, 21*time.Minute
	}
	v.in(15*time.Second, 100*time.Second, func() {
		if v.chance(4) {
			v.open--
			who := pick(v.night, []string{"waiter", "supervisor"})
			as := who
			if who == "waiter" {
				as = v.waiterFor(v.table)
			}
			tell(as, who, "order:cancelled", reasoned{pick(v.night, []string{"guest changed their mind", "wrong table", "sold out", "ordered twice"})})
			return
		}
		v.bill += total
		tell(station, station, "order:updated", status{"preparing"})
		if v.chance(12) {
			v.in(20*time.Second, 80*time.Second, func() {
				tell(v.waiterFor(v.table), "waiter", "order:updated", reasoned{pick(v.night, []string{"no ice", "allergic to nuts", "extra plate", "well done"})})
			})
		}
		v.in(begin, end, func() {
			tell(station, station, "order:ready", status{"ready"})
			v.in(20*time.Second, 3*time.Minute, func() {
				v.open--
				tell(v.waiterFor(v.table), "waiter", "order:served", status{"served"})
			})
		})
	})
}

type status struct {
	Status string `json:"status"`
}

type reasoned struct {
	Note string `json:"note"`
}

// choose returns up to three things of a station that are not sold out, and what they cost.
func (v *visit) choose(station string) (items []item, total int) {
	var offered []product
	for i, p := range menu() {
		if p.station == station && !v.soldOut[i] {
			offered = append(offered, p)
		}
	}
	v.rng.Shuffle(len(offered), func(i, j int) { offered[i], offered[j] = offered[j], offered[i] })
	for _, p := range offered[:min(len(offered), 1+v.rng.IntN(3))] {
		quantity := 1 + v.rng.IntN(v.guests)
		items = append(items, item{p.name, quantity, p.price})
		total += quantity * p.price
	}
	return items, total
}
