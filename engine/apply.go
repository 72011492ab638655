package engine

import (
	"fmt"
	"slices"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/document"
)

// Apply returns the state that m makes of now, and the change that its event tells; the engine sets Offset and Time.
// It is the same for every engine and looks at nothing but its arguments (docs/protocol.md §6): first what m would
// make is held against its limits, then m against its guard. now and what is returned share memory.
func Apply(now *State, m *Mutation) (State, *roxy.Change, *roxy.Problem) {
	if !now.Exists() && m.Op != roxy.Put {
		if p := checkVersion(now, m); p != nil {
			return State{}, nil, p
		}
		return State{}, nil, &roxy.Problem{
			Code: roxy.NotFound, Member: "topic", Detail: fmt.Sprintf("nothing lives at %q: only a put can create it", m.Topic),
		}
	}
	before := view(m.Author, now.Data)
	after := m.Data
	switch m.Op {
	case roxy.Put:
		after = view(m.Author, after)
	case roxy.Patch:
		after = view(m.Author, document.Merge(orEmpty(before), m.Data))
	case roxy.Delete:
		after = nil
	}
	if p := checkResult(m, after); p != nil {
		return State{}, nil, p
	}
	if p := checkVersion(now, m); p != nil {
		return State{}, nil, p
	}
	if m.Guard == roxy.GuardFields {
		if clash := clashes(now, m, before, after); len(clash) > 0 {
			return State{}, nil, &roxy.Problem{
				Code: roxy.VersionConflict, Member: "base", Conflict: &roxy.Conflict{Fields: clash},
				Detail: fmt.Sprintf("others changed the same fields behind version %d; it is at %d by now", m.Base, now.Version),
			}
		}
	}
	data, p := restore(now, m, after)
	if p != nil {
		return State{}, nil, p
	}
	next := State{Entity: roxy.Entity{Topic: m.Topic, Version: now.Version + 1, Data: data}, Forgotten: now.Forgotten}
	change := &roxy.Change{Op: m.Op, Version: next.Version, Mutation: m.ID}
	if m.Op == roxy.Delete {
		next.Forgotten = next.Version
		return next, change, nil
	}
	whole := m.Parts.Whole()
	change.Patch = document.Diff(now.Data, data, whole)
	if change.Patch != nil && now.Exists() {
		change.Undo = document.Diff(data, now.Data, whole)
	}
	next.mark(now, m, change.Patch)
	return next, change, nil
}

// view returns what of doc is seen; nil for nil.
func view(h *document.Hidden, doc []byte) []byte {
	if doc == nil {
		return nil
	}
	return h.Redact(doc)
}

func orEmpty(doc []byte) []byte {
	if doc == nil {
		return []byte("{}")
	}
	return doc
}

// checkVersion holds m against the guards of whole entities.
func checkVersion(now *State, m *Mutation) *roxy.Problem {
	switch {
	case m.Present && !now.Exists():
		return conflict(m, "there is no entity, and there must be one")
	case m.Guard == roxy.GuardVersion && m.Base == 0 && now.Exists():
		return conflict(m, fmt.Sprintf("there must be no entity, and one is at version %d", now.Version))
	case m.Guard == roxy.GuardVersion && m.Base != 0 && m.Base != now.Version:
		return conflict(m, fmt.Sprintf("it must be at version %d and is at %d", m.Base, now.Version))
	case m.Guard == roxy.GuardFields && m.Base > now.Version:
		return conflict(m, fmt.Sprintf("base %d is ahead of the entity, which is at version %d", m.Base, now.Version))
	}
	return nil
}

func conflict(m *Mutation, why string) *roxy.Problem {
	return &roxy.Problem{
		Code: roxy.VersionConflict, Member: "base", Conflict: &roxy.Conflict{}, Detail: fmt.Sprintf("%s: %s", m.Topic, why),
	}
}

// clashes returns the fields that m would change to something else than others made of them behind its base.
func clashes(now *State, m *Mutation, before, after []byte) []string {
	if now.Version <= m.Base {
		return nil
	}
	var names []string
	look := func(field string) {
		if string(document.Field(before, field)) != string(document.Field(after, field)) && now.changedSince(m, field) {
			names = append(names, field)
		}
	}
	if m.Op == roxy.Patch {
		for field := range document.Fields(m.Data) {
			look(field)
		}
		return names
	}
	for field := range document.Fields(orEmpty(before)) {
		look(field)
	}
	for field := range document.Fields(orEmpty(after)) {
		if document.Field(before, field) == nil {
			look(field)
		}
	}
	slices.Sort(names)
	return names
}

// checkResult holds what the author wants of the entity against what it may be.
func checkResult(m *Mutation, after []byte) *roxy.Problem {
	if after == nil {
		return nil
	}
	if n := document.Count(after); n > roxy.MaxFields {
		return &roxy.Problem{Code: roxy.TooLarge, Member: contentOf(m), Detail: fmt.Sprintf("the entity would have %d fields, at most %d", n, roxy.MaxFields)}
	}
	if m.Check == nil {
		return nil
	}
	return m.Check(after)
}

// restore returns the new document: what the author wants of it, and the rest as it is.
func restore(now *State, m *Mutation, after []byte) ([]byte, *roxy.Problem) {
	if m.Author == nil || after == nil {
		return after, nil
	}
	data, at, ok := m.Author.Restore(after, orEmpty(now.Data))
	if !ok {
		return nil, &roxy.Problem{
			Code: roxy.Forbidden, Member: contentOf(m) + "." + at, Detail: fmt.Sprintf("%s: it holds what you may not see, and cannot be replaced by you", at),
		}
	}
	return data, nil
}

func contentOf(m *Mutation) string {
	if m.Op == roxy.Patch {
		return "patch"
	}
	return "data"
}

// mark notes who made the changes of patch, which leads from now to s.
func (s *State) mark(now *State, m *Mutation, patch []byte) {
	s.Marks = slices.Clone(now.Marks)
	if patch == nil {
		return
	}
	for field := range document.Fields(patch) {
		for _, part := range m.Parts.Changed(field, document.Field(now.Data, field), document.Field(s.Data, field)) {
			k := Mark{Field: field, Part: part, Version: s.Version, By: m.By, Device: m.Device, Seq: m.Seq}
			at, found := slices.BinarySearchFunc(s.Marks, k, compareMarks)
			if found {
				s.Marks[at] = k
			} else {
				s.Marks = slices.Insert(s.Marks, at, k)
			}
		}
	}
	s.forget()
}

// forget drops the oldest marks of fields that are no longer there, beyond maxRemoved.
func (s *State) forget() {
	if len(s.Marks) <= maxRemoved {
		return
	}
	var removed []uint64 // versions
	for i := range s.Marks {
		if document.Field(s.Data, s.Marks[i].Field) == nil {
			removed = append(removed, s.Marks[i].Version)
		}
	}
	if len(removed) <= maxRemoved {
		return
	}
	slices.Sort(removed)
	limit := removed[len(removed)-maxRemoved/2-1] // half of them go, so that this is rare
	s.Marks = slices.DeleteFunc(s.Marks, func(k Mark) bool {
		return k.Version <= limit && document.Field(s.Data, k.Field) == nil
	})
	s.Forgotten = max(s.Forgotten, limit)
}
