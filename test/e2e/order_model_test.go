package e2e

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/anishathalye/porcupine"
)

// fieldNames are the fields that the orders of these tests have. They are few, so that clients meet.
var fieldNames = [...]string{"guests", "note", "status", "table"}

// write is one mutation of an order, as its author means it.
type write struct {
	ID, Op, Topic string
	Fields        map[string]string // field → value; of a patch "" removes
	Guard         string
	Base          uint64
	User, Device  string
	Seq           uint64
}

// verdict is what became of an operation.
type verdict struct {
	Outcome string // committed, version-conflict, not-found, cancelled; of a read found, not-found
	Version uint64 // of a commit the new one, of a read the one that was found
	Fields  map[string]string
	Clash   []string // of a conflict, nil when the answer did not tell
}

// reading is the input of an operation that only reads.
type reading struct{ Topic string }

// cell is one field with who changed it last, and when.
type cell struct {
	value        string // "": absent
	version      uint64 // 0: nobody is known to have changed it
	user, device string
	seq          uint64
}

// order is an entity as docs/protocol.md §6 has it: written from that page, and not from the hub.
type order struct {
	version uint64
	exists  bool
	deleted uint64 // the version of the last deletion
	cells   [len(fieldNames)]cell
}

// rules are those of the page; a test that wants to see the checker fail breaks one.
type rules struct {
	base func(uint64) uint64                // what a guard is given
	own  func(mine *write, other cell) bool // whether a change is an earlier one of the same device
}

func theRules() rules {
	return rules{
		base: func(b uint64) uint64 { return b },
		own: func(w *write, c cell) bool {
			return w.Device != "" && c.device == w.Device && c.user == w.User && c.seq < w.Seq
		},
	}
}

// step returns what w makes of o, and what its author is told.
func (r rules) step(o order, w *write) (order, verdict) {
	base := r.base(w.Base)
	switch {
	case w.Guard == "version" && base == 0 && o.exists,
		w.Guard == "version" && base != 0 && base != o.version,
		w.Guard == "fields" && base > o.version:
		return o, verdict{Outcome: "version-conflict"}
	case w.Op != "put" && !o.exists:
		return o, verdict{Outcome: "not-found"}
	}
	after := w.after(o)
	if w.Guard == "fields" {
		var clash []string
		for i, name := range fieldNames {
			c := o.cells[i]
			unseen := c.version > base && !r.own(w, c) || c.version == 0 && o.deleted > base
			if c.value != after[i] && unseen {
				clash = append(clash, name)
			}
		}
		if clash != nil {
			return o, verdict{Outcome: "version-conflict", Clash: clash}
		}
	}
	o.version++
	o.exists = w.Op != "delete"
	if !o.exists {
		o.deleted, o.cells = o.version, [len(fieldNames)]cell{}
		return o, verdict{Outcome: "committed", Version: o.version}
	}
	for i := range fieldNames {
		if o.cells[i].value != after[i] {
			o.cells[i] = cell{after[i], o.version, w.User, w.Device, w.Seq}
		}
	}
	return o, verdict{Outcome: "committed", Version: o.version}
}

// after returns the values that w wants.
func (w *write) after(o order) (values [len(fieldNames)]string) {
	for i, name := range fieldNames {
		value, given := w.Fields[name]
		switch {
		case w.Op == "patch" && !given:
			values[i] = o.cells[i].value
		case w.Op != "delete":
			values[i] = value
		}
	}
	return values
}

// shows returns what a reader finds.
func (o order) shows() verdict {
	if !o.exists {
		return verdict{Outcome: "not-found"}
	}
	v := verdict{Outcome: "found", Version: o.version, Fields: map[string]string{}}
	for i, name := range fieldNames {
		if value := o.cells[i].value; value != "" {
			v.Fields[name] = value
		}
	}
	return v
}

// model is an order for porcupine: one for each topic.
func (r rules) model() porcupine.Model {
	return porcupine.Model{
		Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
			byTopic := map[string][]porcupine.Operation{}
			for _, op := range history {
				byTopic[topicOf(op)] = append(byTopic[topicOf(op)], op)
			}
			return slices.Collect(maps.Values(byTopic))
		},
		Init: func() any { return order{} },
		Step: func(state, input, output any) (bool, any) {
			o, told := state.(order), output.(verdict)
			w, writes := input.(*write)
			if !writes {
				is := o.shows()
				return is.Outcome == told.Outcome && is.Version == told.Version && maps.Equal(is.Fields, told.Fields), o
			}
			if told.Outcome == "cancelled" {
				return true, o
			}
			next, is := r.step(o, w)
			same := is.Outcome == told.Outcome && is.Version == told.Version && (told.Clash == nil || slices.Equal(is.Clash, told.Clash))
			return same, next
		},
		DescribeOperation: func(input, output any) string { return fmt.Sprintf("%+v → %+v", input, output) },
	}
}

func topicOf(op porcupine.Operation) string {
	if w, ok := op.Input.(*write); ok {
		return w.Topic
	}
	return op.Input.(reading).Topic
}

// linearizable says whether there is an order of the operations, one at a time, in which everybody is told what they
// were, and each operation stands between its beginning and its end.
func (r rules) linearizable(history []porcupine.Operation, within time.Duration) porcupine.CheckResult {
	return porcupine.CheckOperationsTimeout(r.model(), history, within)
}

// contradiction tells where a history stops being linearizable: the state up to which it can be explained, and the
// operations next to end.
func (r rules) contradiction(history []porcupine.Operation) string {
	var b strings.Builder
	for _, part := range r.model().Partition(history) {
		is, info := porcupine.CheckOperationsVerbose(r.model(), part, time.Minute)
		if is != porcupine.Illegal {
			continue
		}
		var longest []porcupine.Operation
		for _, partial := range info.PartialLinearizationsOperations()[0] {
			if len(partial) > len(longest) {
				longest = partial
			}
		}
		state := order{}
		explained := map[string]bool{}
		name := func(op porcupine.Operation) string { return fmt.Sprint(op.ClientId, op.Call, op.Return) }
		for _, op := range longest {
			explained[name(op)] = true
			_, next := r.model().Step(state, op.Input, op.Output)
			state = next.(order)
		}
		fmt.Fprintf(&b, "%s: %d of %d operations lead to %+v; behind it\n", topicOf(part[0]), len(longest), len(part), state)
		rest := slices.DeleteFunc(slices.Clone(part), func(op porcupine.Operation) bool { return explained[name(op)] })
		slices.SortFunc(rest, func(a, b porcupine.Operation) int { return cmp.Compare(a.Return, b.Return) })
		for _, op := range rest[:min(8, len(rest))] {
			fmt.Fprintf(&b, "  %d–%d: %v → %+v\n", op.Call, op.Return, op.Input, op.Output)
		}
	}
	return b.String()
}

// lostUpdates returns the commits under the guard fields that overwrote or removed a value that their author had not
// seen: it was written behind the author's base, by somebody else. history holds the whole life of each topic. It looks
// at nothing but versions and who wrote what, and knows no guard.
func lostUpdates(history []porcupine.Operation) (lost []string) {
	lives := map[string]map[uint64]*write{}
	for _, op := range history {
		w, ok := op.Input.(*write)
		if told := op.Output.(verdict); ok && told.Outcome == "committed" {
			if lives[w.Topic] == nil {
				lives[w.Topic] = map[uint64]*write{}
			}
			if other := lives[w.Topic][told.Version]; other != nil {
				lost = append(lost, fmt.Sprintf("%s: version %d was made by %s and by %s", w.Topic, told.Version, other.ID, w.ID))
			}
			lives[w.Topic][told.Version] = w
		}
	}
	for topic, life := range lives {
		lost = append(lost, lostIn(topic, life)...)
	}
	return lost
}

func lostIn(topic string, life map[uint64]*write) (lost []string) {
	type value struct {
		text    string
		version uint64
		by      *write
	}
	now := map[string]value{}
	for version := uint64(1); version <= uint64(len(life)); version++ {
		w := life[version]
		if w == nil {
			return append(lost, fmt.Sprintf("%s: nobody made version %d of %d", topic, version, len(life)))
		}
		for _, field := range fieldNames {
			was := now[field]
			text, given := w.Fields[field]
			if w.Op == "patch" && !given || text == was.text {
				continue
			}
			mine := was.by != nil && w.Device != "" && was.by.Device == w.Device && was.by.User == w.User && was.by.Seq < w.Seq
			if w.Guard == "fields" && was.text != "" && was.version > w.Base && !mine {
				lost = append(lost, fmt.Sprintf("%s: %s=%q of version %d (%s) was overwritten by %s at version %d, whose author had seen version %d",
					topic, field, was.text, was.version, was.by.ID, w.ID, version, w.Base))
			}
			now[field] = value{text, version, w}
		}
	}
	return lost
}

// String spells a write as its body.
func (w *write) String() string { return w.body() }

// content is the object that w sends; "" for a delete.
func (w *write) content() string {
	if w.Op == "delete" {
		return ""
	}
	var members []string
	for _, field := range slices.Sorted(maps.Keys(w.Fields)) {
		value := fmt.Sprintf("%q", w.Fields[field])
		if w.Fields[field] == "" {
			value = "null"
		}
		members = append(members, fmt.Sprintf("%q:%s", field, value))
	}
	return "{" + strings.Join(members, ",") + "}"
}

// body is w as POST /v1/mutations takes it.
func (w *write) body() string {
	b := fmt.Sprintf(`{"id":%q,"op":%q,"topic":%q`, w.ID, w.Op, w.Topic)
	switch w.Op {
	case "put":
		b += `,"data":` + w.content()
	case "patch":
		b += `,"patch":` + w.content()
	}
	if w.Guard != "none" {
		b += fmt.Sprintf(`,"guard":%q,"base":%d`, w.Guard, w.Base)
	}
	if w.Device != "" {
		b += fmt.Sprintf(`,"device":%q,"seq":%d`, w.Device, w.Seq)
	}
	return b + "}"
}
