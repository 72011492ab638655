package engine

import (
	"cmp"
	"slices"
	"strings"

	"github.com/roxyhub/roxy"
)

// maxRemoved bounds the marks of fields that are no longer there.
const maxRemoved = 256

// State is an entity with who changed what of it.
type State struct {
	roxy.Entity
	// Marks has one mark for each part of each field, those of removed fields included, sorted by field and part.
	Marks []Mark
	// Forgotten is a version: a field without a mark was changed as late as then, by nobody knows whom. Marks of
	// removed fields are bounded, and a deletion leaves none.
	Forgotten uint64
}

// Mark is who last changed one part of a field.
type Mark struct {
	Field   string
	Part    roxy.FieldPath // the nested path that it is for; zero for what no nested path hides of the field
	Version uint64
	By      string
	Device  string
	Seq     uint64
}

func compareMarks(a, b Mark) int {
	return cmp.Or(strings.Compare(a.Field, b.Field), strings.Compare(a.Part.String(), b.Part.String()))
}

// marksOf returns the marks of a field.
func (s *State) marksOf(field string) []Mark {
	from, _ := slices.BinarySearchFunc(s.Marks, field, func(m Mark, f string) int { return strings.Compare(m.Field, f) })
	to := from
	for to < len(s.Marks) && s.Marks[to].Field == field {
		to++
	}
	return s.Marks[from:to]
}

// own reports whether the author of m made the change of k by an earlier mutation of the same device.
func (k *Mark) own(m *Mutation) bool {
	return m.Device != "" && k.Device == m.Device && k.By == m.By && k.Seq < m.Seq
}

// changedSince reports whether somebody else changed what the author sees of the field behind m.Base.
func (s *State) changedSince(m *Mutation, field string) bool {
	marks := s.marksOf(field)
	for i := range marks {
		k := &marks[i]
		if k.Version > m.Base && !k.own(m) && !m.Author.Has(k.Part) {
			return true
		}
	}
	return len(marks) == 0 && s.Forgotten > m.Base
}
