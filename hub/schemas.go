package hub

import "github.com/roxyhub/roxy"

// Schemas is a placeholder until package schema is merged.
type Schemas struct{}

func (s *Schemas) entity(roxy.Topic) func(member string, view []byte, hidden []roxy.FieldPath) *roxy.Problem {
	return nil
}
