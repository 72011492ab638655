package portable

import (
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"io"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/engine"
)

// Writer writes an export, line by line. Its caller keeps the order.
type Writer struct {
	to               io.Writer
	sum              hash.Hash
	events, entities uint64
}

// NewWriter returns a Writer that has written the header.
func NewWriter(to io.Writer, h Header) (*Writer, error) {
	w := &Writer{to: to, sum: sha256.New()}
	return w, w.line(headerText{"export", Format, h.Tenant, h.Of.Epoch, h.Of.First, h.Of.Head, h.Time.UTC()})
}

// Event writes an event.
func (w *Writer) Event(e *roxy.Event) error {
	w.events++
	return w.line(lineText{Event: textOfEvent(e)})
}

// State writes an entity.
func (w *Writer) State(s *engine.State) error {
	w.entities++
	return w.line(lineText{Entity: textOfState(s)})
}

// End writes the last line.
func (w *Writer) End() (End, error) {
	end := End{w.events, w.entities, hex.EncodeToString(w.sum.Sum(nil))}
	return end, w.line(lineText{End: &endText{end.Events, end.Entities, end.Sum}})
}

func (w *Writer) line(v any) error {
	text, err := json.Marshal(v, jsontext.PreserveRawStrings(true), jsontext.CanonicalizeRawInts(false), jsontext.CanonicalizeRawFloats(false))
	if err != nil {
		return err
	}
	text = append(text, '\n')
	w.sum.Write(text)
	_, err = w.to.Write(text)
	return err
}
