// Package portable is how a tenant travels: its log and its entities at one position, as lines of JSON (docs/protocol.md
// §8). It owns the format, both ways, and neither stores nor sends anything.
//
// The first line says what follows; then come the events in log order, the entities sorted by topic with what guards
// them, tombstones included, and a last line with their numbers and the SHA-256 of all lines before it, so that a cut or
// changed export is told from a whole one. The spelling of an export is exact: data is told byte for byte, because
// idempotency keys are held against it.
package portable

import (
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/engine"
)

// Bounds of an export.
const (
	Format   = 1
	MaxBatch = 8 << 20              // bytes of one batch
	MaxLine  = MaxBatch - (4 << 10) // bytes of one line, so that a batch holds it and its header
)

// Header is the first line of an export, and of each batch of it.
type Header struct {
	Tenant string
	Of     engine.Bounds // its head is the position of the entities
	Time   time.Time     // of the export
}

// End is the last line of an export.
type End struct {
	Events, Entities uint64
	Sum              string // the SHA-256 of all lines before it, newlines included, in hexadecimal
}

// Line is one line behind the header: one of its members is set.
type Line struct {
	Event *roxy.Event
	State *engine.State
	End   *End
}

type headerText struct {
	Roxy   string    `json:"roxy"`
	Format int       `json:"format"`
	Tenant string    `json:"tenant"`
	Epoch  string    `json:"epoch"`
	First  uint64    `json:"first"`
	Head   uint64    `json:"head"`
	Time   time.Time `json:"time"`
}

type lineText struct {
	Event  *eventText `json:"event,omitempty"`
	Entity *stateText `json:"entity,omitempty"`
	End    *endText   `json:"end,omitempty"`
}

type eventText struct {
	Offset      uint64         `json:"offset"`
	Time        time.Time      `json:"time"`
	Topic       string         `json:"topic"`
	Type        string         `json:"type"`
	By          string         `json:"by,omitzero"`
	ID          string         `json:"id,omitzero"`
	To          *audienceText  `json:"to,omitempty"`
	TTL         string         `json:"ttl,omitzero"`
	Correlation string         `json:"correlation,omitzero"`
	Except      string         `json:"except,omitzero"`
	TraceParent string         `json:"traceparent,omitzero"`
	Urgent      bool           `json:"urgent,omitzero"`
	Change      *changeText    `json:"change,omitempty"`
	Data        jsontext.Value `json:"data,omitzero"`
}

type audienceText struct {
	Roles []string `json:"roles,omitempty"`
	Users []string `json:"users,omitempty"`
}

type changeText struct {
	Op       roxy.Op        `json:"op"`
	Version  uint64         `json:"version"`
	Mutation string         `json:"mutation,omitzero"`
	Patch    jsontext.Value `json:"patch,omitzero"`
	Undo     jsontext.Value `json:"undo,omitzero"`
}

type stateText struct {
	Topic     string         `json:"topic"`
	Version   uint64         `json:"version"`
	Offset    uint64         `json:"offset"`
	Time      time.Time      `json:"time"`
	Data      jsontext.Value `json:"data,omitzero"`
	Forgotten uint64         `json:"forgotten,omitzero"`
	Marks     []markText     `json:"marks,omitempty"`
}

type markText struct {
	Field   string `json:"field"`
	Part    string `json:"part,omitzero"`
	Version uint64 `json:"version"`
	By      string `json:"by,omitzero"`
	Device  string `json:"device,omitzero"`
	Seq     uint64 `json:"seq,omitzero"`
}

type endText struct {
	Events   uint64 `json:"events"`
	Entities uint64 `json:"entities"`
	Sum      string `json:"sha256"`
}

// ParseHeader returns the header that a line tells. Errors say what is wrong, and not in which line.
func ParseHeader(line []byte) (Header, error) {
	var t headerText
	if err := decode(line, &t); err != nil {
		return Header{}, err
	}
	switch {
	case t.Roxy != "export":
		return Header{}, errors.New(`want {"roxy":"export", …}: this is no export`)
	case t.Format != Format:
		return Header{}, fmt.Errorf("an export of format %d, and this program reads %d", t.Format, Format)
	}
	if err := roxy.CheckTenant(t.Tenant); err != nil {
		return Header{}, err
	}
	h := Header{Tenant: t.Tenant, Of: engine.Bounds{Epoch: t.Epoch, First: t.First, Head: t.Head}, Time: t.Time}
	part := engine.Restoration{Of: h.Of}
	return h, part.Check()
}

// ParseLine returns what a line behind the header tells. Errors say what is wrong, and not in which line.
func ParseLine(line []byte) (Line, error) {
	var t lineText
	if err := decode(line, &t); err != nil {
		return Line{}, err
	}
	var l Line
	var err error
	switch {
	case t.Event != nil && t.Entity == nil && t.End == nil:
		l.Event, err = t.Event.event()
		err = within("event", err)
	case t.Event == nil && t.Entity != nil && t.End == nil:
		l.State, err = t.Entity.state()
		err = within("entity", err)
	case t.Event == nil && t.Entity == nil && t.End != nil:
		if sum, bad := hex.DecodeString(t.End.Sum); bad != nil || len(sum) != 32 || hex.EncodeToString(sum) != t.End.Sum {
			return Line{}, errors.New("end.sha256: want 64 digits of 0-9 a-f")
		}
		l.End = &End{t.End.Events, t.End.Entities, t.End.Sum}
	default:
		return Line{}, errors.New("want one of event, entity and end")
	}
	if err != nil {
		return Line{}, err
	}
	return l, nil
}

func within(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s.%w", what, err)
}

// decode reads one JSON value and nothing behind it. The error quotes names and no values.
func decode(line []byte, v any) error {
	err := json.Unmarshal(line, v, json.RejectUnknownMembers(true))
	if err == nil {
		return nil
	}
	if bad, ok := errors.AsType[*json.SemanticError](err); ok {
		at := string(bad.JSONPointer)
		if errors.Is(err, json.ErrUnknownName) {
			return fmt.Errorf("%s: unknown member", at)
		}
		return fmt.Errorf("%s: not what belongs there", at)
	}
	if bad, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		if errors.Is(err, jsontext.ErrDuplicateName) {
			return fmt.Errorf("%s: given twice", bad.JSONPointer)
		}
		return fmt.Errorf("byte %d: not JSON in UTF-8", bad.ByteOffset)
	}
	return errors.New("not JSON")
}

// fault is the refusal of a line.
func fault(number int, err error) *roxy.Problem {
	detail := err.Error()
	if p, ok := errors.AsType[*roxy.Problem](err); ok {
		detail = p.Detail
	}
	return &roxy.Problem{Code: roxy.InvalidImport, Member: fmt.Sprintf("line %d", number), Detail: fmt.Sprintf("line %d: %s", number, detail)}
}
