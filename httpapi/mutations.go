package httpapi

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/document"
)

// mutate answers POST /v1/mutations when the mutations are durable: one object, or an array that is committed all or
// none.
func (a *api) mutate(x *exchange, r *http.Request) error {
	who, err := a.authenticate(x, r)
	if err != nil {
		return err
	}
	if err := jsonBody(r.Header, "application/json"); err != nil {
		return err
	}
	if err := a.Limits.Memory(); err != nil {
		return err
	}
	body, err := a.readBody(x, r, roxy.InvalidMutation)
	if err != nil {
		return err
	}
	answer, state, err := a.commitMutations(r.Context(), who, body, func(ms []roxy.Mutation) error {
		x.correlation = ms[0].Correlation
		return applyMutationHeaders(r, ms)
	})
	if state.Name != "" {
		setRateLimit(x.Header(), state)
	}
	if err != nil {
		return err
	}
	x.answer(answer)
	return nil
}

// commitMutations does what POST /v1/mutations does with a body; the socket does the same with a member of a message. prepare may add to
// the mutations.
func (a *api) commitMutations(ctx context.Context, who roxy.Identity, body []byte, prepare func([]roxy.Mutation) error) ([]byte, roxy.LimitState, error) {
	mutations, array, err := decodeMutations(body, a.MaxBatch)
	if err != nil {
		return nil, roxy.LimitState{}, err
	}
	if err := prepare(mutations); err != nil {
		return nil, roxy.LimitState{}, err
	}
	state, err := a.Limits.Publish(who.Tenant, who.User, len(mutations))
	if err != nil {
		return nil, roxy.LimitState{}, err
	}
	results, err := a.Hub.Mutate(ctx, who, mutations)
	if err != nil {
		return nil, state, inArray(err, array)
	}
	return appendResults(nil, results), state, nil
}

// inArray makes the hub's refusal of a lone mutation name its place when it came in an array.
func inArray(err error, array bool) error {
	return publication{array: array, topic: "topic"}.locate(err)
}

// applyMutationHeaders adds what a request may say about its mutations in headers.
func applyMutationHeaders(r *http.Request, mutations []roxy.Mutation) error {
	key, err := idempotencyKey(r)
	if err != nil {
		return err
	}
	if key != "" {
		first := &mutations[0]
		switch {
		case len(mutations) > 1:
			return invalidKey("it goes with a single mutation; in an array each mutation has its own id")
		case first.ID != "" && first.ID != key:
			return invalidKey("differs from the mutation's id")
		}
		first.ID = key
	}
	if trace := traceParent(r.Header.Get("traceparent")); trace != "" {
		for i := range mutations {
			mutations[i].TraceParent = trace
		}
	}
	return nil
}

// decodeMutations reads the body of a bulk call, as strictly as decodeEvents.
func decodeMutations(body []byte, maxBatch int) (mutations []roxy.Mutation, array bool, err error) {
	d := newDecoder(body)
	d.code = roxy.InvalidMutation
	switch d.PeekKind() { // the others are no mutations
	case '{':
		mutations = make([]roxy.Mutation, 1)
		err = d.mutation(&mutations[0])
	case '[':
		array = true
		mutations, err = arrayOf(d, maxBatch, "mutation", (*decoder).mutation)
	default:
		err = d.unexpected("a mutation or an array of mutations")
	}
	if err == nil {
		err = d.end()
	}
	return mutations, array, err
}

// mutation reads one object of docs/protocol.md §6. The rules of values that need no JSON are left to Mutation.Check.
func (d *decoder) mutation(m *roxy.Mutation) error {
	var data, patch, based bool
	err := d.object("a mutation", func(name jsontext.Token) (err error) {
		switch name.String() {
		case "id":
			m.ID, err = d.name()
		case "op":
			var op string
			op, err = d.name()
			m.Op = roxy.Op(op)
		case "topic":
			m.Topic, err = d.topic()
		case "data":
			data = true
			m.Data, err = d.document(document.Document)
		case "patch":
			patch = true
			m.Data, err = d.document(document.Patch)
		case "guard":
			var guard string
			guard, err = d.name()
			m.Guard = roxy.Guard(guard)
		case "base":
			based = true
			m.Base, err = d.count()
		case "device":
			m.Device, err = d.name()
		case "seq":
			m.Seq, err = d.count()
		case "type":
			m.Type, err = d.name()
		case "correlation":
			m.Correlation, err = d.name()
		default:
			err = d.unknown("a mutation has the members id, op, topic, data, patch, guard, base, device, seq, type and correlation")
		}
		return err
	})
	if err != nil {
		return err
	}
	if m.Guard == "" {
		m.Guard = roxy.GuardNone
	}
	at := func(member, why string) error { return d.faultAt(member, why) }
	switch {
	case m.Op == "":
		return at("op", "op is required: put, patch or delete")
	case data && m.Op != roxy.Put:
		return at("data", fmt.Sprintf("data goes with put, not with %.20q", m.Op))
	case patch && m.Op != roxy.Patch:
		return at("patch", fmt.Sprintf("patch goes with patch, not with %.20q", m.Op))
	case m.Guard == roxy.GuardNone && based:
		return at("base", "base says nothing without a guard: give guard version or fields")
	case (m.Guard == roxy.GuardVersion || m.Guard == roxy.GuardFields) && !based:
		return at("base", "base is required with a guard: the version that you saw, 0 for none")
	}
	return nil
}

// document reads an object of an entity in its canonical form.
func (d *decoder) document(form func([]byte) ([]byte, error)) ([]byte, error) {
	if d.PeekKind() != '{' {
		return nil, d.unexpected("an object")
	}
	value, err := d.ReadValue()
	if err != nil {
		return nil, d.syntax(err)
	}
	if _, depth := compact(value); depth > maxDepth {
		return nil, d.fault(fmt.Sprintf("nests %d deep, at most %d", depth, maxDepth))
	}
	doc, err := form(value)
	if err != nil {
		return nil, d.fault(err.Error())
	}
	return doc, nil
}

// maxCount bounds numbers: beyond it JSON's readers may not tell one from the next (RFC 8259 §6).
const maxCount = 1<<53 - 1

func (d *decoder) count() (uint64, error) {
	if d.PeekKind() != '0' {
		return 0, d.unexpected("a whole number")
	}
	value, err := d.ReadValue()
	if err != nil {
		return 0, d.syntax(err)
	}
	n, err := strconv.ParseUint(string(value), 10, 64)
	if err != nil || n > maxCount {
		return 0, d.fault(fmt.Sprintf("want a whole number from 0 to %d", uint64(maxCount)))
	}
	return n, nil
}

// appendResults appends the answer to a bulk call.
func appendResults(b []byte, results []roxy.MutationResult) []byte {
	b = append(b, `{"results":[`...)
	for i := range results {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendResult(b, &results[i])
	}
	return append(b, "]}"...)
}

func appendResult(b []byte, r *roxy.MutationResult) []byte {
	b = append(b, `{"id":`...)
	b = appendString(b, r.ID)
	b = append(b, `,"topic":"`...)
	b = append(b, r.Topic.String()...)
	b = append(b, `","version":`...)
	b = strconv.AppendUint(b, r.Version, 10)
	b = append(b, `,"cursor":"`...)
	b = r.Cursor.Append(b)
	b = append(b, '"')
	if r.Duplicate {
		b = append(b, `,"duplicate":true`...)
	}
	return append(b, '}')
}

// outcome is what became of a mutation, as its author asks later.
type outcome struct {
	ID      string         `json:"id"`
	Status  roxy.Outcome   `json:"status"`
	Topic   string         `json:"topic,omitempty"`
	Version uint64         `json:"version,omitzero"`
	Cursor  string         `json:"cursor,omitempty"`
	Problem jsontext.Value `json:"problem,omitzero"`
}

func outcomeOf(r *roxy.MutationResult) outcome {
	o := outcome{ID: r.ID, Status: r.Outcome, Topic: r.Topic.String(), Version: r.Version}
	if r.Cursor.Epoch != "" {
		o.Cursor = r.Cursor.String()
	}
	if r.Problem != nil {
		o.Problem = Describe(r.Problem)
	}
	return o
}

// mutationStatus answers POST /v1/mutations/status.
func (a *api) mutationStatus(x *exchange, r *http.Request) error {
	who, err := a.authenticate(x, r)
	if err != nil {
		return err
	}
	if err := jsonBody(r.Header, "application/json"); err != nil {
		return err
	}
	body, err := a.readBody(x, r, roxy.InvalidParameter)
	if err != nil {
		return err
	}
	ids, err := decodeIDs(body, a.MaxBatch)
	if err != nil {
		return err
	}
	if err := a.limited(x, who); err != nil {
		return err
	}
	results, err := a.Hub.Results(r.Context(), who, ids)
	if err != nil {
		return err
	}
	answer := struct {
		Results []outcome `json:"results"`
	}{make([]outcome, len(results))}
	for i := range results {
		answer.Results[i] = outcomeOf(&results[i])
	}
	return x.answerJSON(answer)
}

func decodeIDs(body []byte, limit int) (ids []string, err error) {
	d := newDecoder(body)
	d.code = roxy.InvalidParameter
	err = d.object("an object", func(name jsontext.Token) (err error) {
		if name.String() != "ids" {
			return d.unknown("there is ids alone: an array of mutations' ids")
		}
		if d.PeekKind() != '[' {
			return d.unexpected("an array of strings")
		}
		ids, err = arrayOf(d, limit, "id", func(d *decoder, id *string) (err error) {
			*id, err = d.name()
			return err
		})
		return err
	})
	if err == nil {
		err = d.end()
	}
	if err == nil && ids == nil {
		err = d.faultAt("ids", "ids is required: an array of mutations' ids")
	}
	return ids, err
}

// limited counts a call as one publish.
func (a *api) limited(x *exchange, who roxy.Identity) error {
	state, err := a.Limits.Publish(who.Tenant, who.User, 1)
	if err == nil && state.Name != "" {
		setRateLimit(x.Header(), state)
	}
	return err
}

// cancel answers DELETE /v1/mutations/{id}.
func (a *api) cancel(x *exchange, r *http.Request) error {
	who, err := a.authenticate(x, r)
	if err != nil {
		return err
	}
	if err := a.limited(x, who); err != nil {
		return err
	}
	result, err := a.Hub.Cancel(r.Context(), who, cmp.Or(r.PathValue("id"), "status"))
	if err != nil {
		return err
	}
	return x.answerJSON(outcomeOf(&result))
}
