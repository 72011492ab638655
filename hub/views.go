package hub

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"sync"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/document"
)

// FieldRule says who may see a field: Roles may see Path in what lives at, or is published on, the topics of Pattern,
// and nobody else.
type FieldRule struct {
	Pattern roxy.Pattern
	Path    roxy.FieldPath
	Roles   []string
}

func (r FieldRule) equal(o FieldRule) bool {
	return r.Pattern == o.Pattern && r.Path == o.Path && slices.Equal(r.Roles, o.Roles)
}

// MaxFieldRules bounds the rules of a policy.
const MaxFieldRules = 256

// ruleSet is a set of rules, by their places in views.rules.
type ruleSet [MaxFieldRules / 64]uint64

func (s ruleSet) with(i int) ruleSet {
	s[i/64] |= 1 << (i % 64)
	return s
}

func (s ruleSet) has(i int) bool { return s[i/64]&(1<<(i%64)) != 0 }

func (s ruleSet) and(o ruleSet) ruleSet {
	for i := range s {
		s[i] &= o[i]
	}
	return s
}

// views are the field rules in force and what follows from them, each computed once. It is immutable but for that.
type views struct {
	id    string // no two have the same
	rules []FieldRule

	mu     sync.RWMutex
	hidden map[ruleSet]*document.Hidden // what the rules of a set hide; one pointer for each set
	parts  map[ruleSet]*document.Parts
}

func newViews(rules []FieldRule) (*views, error) {
	if len(rules) > MaxFieldRules {
		return nil, fmt.Errorf("hub: %d field rules, at most %d", len(rules), MaxFieldRules)
	}
	return &views{id: rand.Text(), rules: rules, hidden: make(map[ruleSet]*document.Hidden), parts: make(map[ruleSet]*document.Parts)}, nil
}

// hiddenFrom returns the rules that hide something from whoever holds roles.
func (v *views) hiddenFrom(roles []string) (set ruleSet) {
	for i := range v.rules {
		if !slices.ContainsFunc(roles, func(r string) bool { return slices.Contains(v.rules[i].Roles, r) }) {
			set = set.with(i)
		}
	}
	return set
}

// on returns the rules for a topic.
func (v *views) on(topic roxy.Topic) (set ruleSet) {
	for i := range v.rules {
		if v.rules[i].Pattern.Matches(topic) {
			set = set.with(i)
		}
	}
	return set
}

func (v *views) paths(set ruleSet) (paths []roxy.FieldPath) {
	for i := range v.rules {
		if set.has(i) {
			paths = append(paths, v.rules[i].Path)
		}
	}
	return paths
}

// view returns what the rules of a set hide: nil for nothing, and the same pointer for the same set.
func (v *views) view(set ruleSet) *document.Hidden {
	if set == (ruleSet{}) {
		return nil
	}
	return compiled(&v.mu, v.hidden, set, func() *document.Hidden { return document.NewHidden(v.paths(set)...) })
}

// partsOf returns the parts into which the rules of a set cut fields.
func (v *views) partsOf(set ruleSet) *document.Parts {
	if set == (ruleSet{}) {
		return nil
	}
	return compiled(&v.mu, v.parts, set, func() *document.Parts { return document.NewParts(v.paths(set)...) })
}

func compiled[V any](mu *sync.RWMutex, known map[ruleSet]V, set ruleSet, build func() V) V {
	mu.RLock()
	value, ok := known[set]
	mu.RUnlock()
	if ok {
		return value
	}
	mu.Lock()
	defer mu.Unlock()
	if value, ok = known[set]; !ok {
		value = build()
		known[set] = value
	}
	return value
}

// name tells apart what roles see: it is the same as long as the same is hidden from them.
func (v *views) name(roles []string) string {
	h := sha256.New()
	hidden := v.hiddenFrom(roles)
	for i := range v.rules {
		if hidden.has(i) {
			_, _ = fmt.Fprintf(h, "%s\x00%s\x00", v.rules[i].Pattern, v.rules[i].Path) // a hash takes everything
		}
	}
	return hex.EncodeToString(h.Sum(nil)[:6])
}

// SetFields makes rules those in force. Streams that saw more or less until now are told to come again: what they hold
// is another view than what they would get.
func (h *Hub) SetFields(rules []FieldRule) error {
	fresh, err := newViews(rules)
	if err != nil {
		return err
	}
	if slices.EqualFunc(rules, h.views.Load().rules, FieldRule.equal) {
		return nil // or each class would be there twice from now on
	}
	before := h.views.Swap(fresh)
	h.mu.Lock()
	var changed []*stream
	for _, st := range h.streams {
		if roles := st.sub.Identity.Roles; before.name(roles) != fresh.name(roles) {
			changed = append(changed, st)
		}
	}
	h.mu.Unlock()
	for _, st := range changed {
		st.end(Drain)
	}
	return nil
}
