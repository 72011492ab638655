package hub

import (
	"errors"
	"fmt"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/schema"
)

// SetSchemas makes set what events and entities are held to from now on; nil allows everything. What is stored already
// stays as it is.
func (h *Hub) SetSchemas(set *schema.Set) { h.schemas.Store(set) }

// conforms holds the data of an event to the schema of its type.
func (h *Hub) conforms(e *roxy.Event) error {
	s := h.schemas.Load().Event(e.Type)
	if s == nil {
		return nil
	}
	data := e.Data
	if data == nil {
		data = []byte("null")
	}
	if err := s.Validate(data); err != nil {
		return violated("data", "an event of type "+e.Type, err)
	}
	return nil
}

// violated tells how a value breaks its schema.
func violated(member, what string, err error) *roxy.Problem {
	p := &roxy.Problem{Code: roxy.SchemaViolation, Member: member, Err: err}
	found, ok := errors.AsType[*schema.Violations](err)
	if !ok {
		p.Detail = member + ": it cannot be held to the schema of " + what
		return p
	}
	p.Detail = fmt.Sprintf("%s breaks the schema of %s", member, what)
	for _, v := range found.List {
		p.Violations = append(p.Violations, roxy.Violation(v))
	}
	return p
}
