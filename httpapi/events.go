package httpapi

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/hub"
)

// maxBody bounds the body of a publish whatever the limits on events would add up to: it is held in memory at once.
const maxBody = 8 << 20

// envelope is what the members around the data of an event may take in a body beyond the limit on the event, which
// counts values only.
const envelope = 1 << 10

// publishLimit is the most that the body of a publish may hold.
func publishLimit(maxEventBytes, maxBatch int) int64 {
	one := int64(maxEventBytes) + envelope
	return max(one, min(one*int64(maxBatch), maxBody))
}

// publish answers POST /v1/events when the events are durable. Who may not publish at all learns nothing of how
// bodies are read, and costs nothing but the check of the token.
func (a *api) publish(x *exchange, r *http.Request) error {
	who, err := a.authenticate(x, r)
	if err != nil {
		return err
	}
	read, err := readerOf(r.Header)
	if err != nil {
		return err
	}
	if err := a.Limits.Memory(); err != nil { // before the body takes some of it
		return err
	}
	body, err := a.readBody(x, r, roxy.InvalidEvent)
	if err != nil {
		return err
	}
	p, err := read(a, r.Header, body)
	if err != nil {
		return err
	}
	if err := p.applyHeaders(r); err != nil {
		return err
	}
	x.correlation = p.events[0].Correlation
	state, err := a.Limits.Publish(who.Tenant, who.User, len(p.events))
	if err != nil {
		return err
	}
	if state.Name != "" {
		setRateLimit(x.Header(), state)
	}
	results, err := a.Hub.Publish(r.Context(), who, p.events)
	if err != nil {
		return p.locate(err)
	}
	x.answer(appendPublished(nil, results))
	return nil
}

// publication is the content of one request, whichever format it came in.
type publication struct {
	events []roxy.Event
	array  bool   // the events came as an array, if only of one
	topic  string // what the format calls the topic
	keyed  bool   // the format has its own idempotency keys
}

// reader turns a body into what is to be published.
type reader func(a *api, h http.Header, body []byte) (publication, error)

// readerOf chooses by the media type. Forms and plain text are refused: a page may send those to a foreign origin
// without asking (CORS has no preflight for them), cookies included.
func readerOf(h http.Header) (reader, error) {
	if encoding := h.Get("Content-Encoding"); encoding != "" && !strings.EqualFold(encoding, "identity") {
		return nil, &roxy.Problem{Code: roxy.UnsupportedMedia, Member: "Content-Encoding", Detail: fmt.Sprintf("a body is sent as it is, not as %q", encoding)}
	}
	contentType := h.Get("Content-Type")
	media, _, _ := mime.ParseMediaType(contentType) // what cannot be read is told below
	switch {
	case media == "application/cloudevents+json":
		return readStructured, nil
	case media == "application/cloudevents-batch+json":
		return readBatch, nil
	case h.Get("ce-specversion") != "" && !strings.HasPrefix(media, "application/cloudevents"):
		return readBinary, nil
	}
	if _, ok := dataFormat(contentType); ok && media == "application/json" {
		return readEvents, nil
	}
	return nil, &roxy.Problem{Code: roxy.UnsupportedMedia, Member: "Content-Type", Detail: fmt.Sprintf("Content-Type %q is none that events come in", contentType)}
}

func readEvents(a *api, _ http.Header, body []byte) (publication, error) {
	events, array, err := decodeEvents(body, a.MaxBatch)
	return publication{events: events, array: array, topic: "topic"}, err
}

func readStructured(a *api, _ http.Header, body []byte) (publication, error) {
	events, err := decodeCloudEvents(body, false, a.MaxBatch)
	return publication{events: events, topic: "subject", keyed: true}, err
}

func readBatch(a *api, _ http.Header, body []byte) (publication, error) {
	events, err := decodeCloudEvents(body, true, a.MaxBatch)
	return publication{events: events, array: true, topic: "subject", keyed: true}, err
}

func readBinary(_ *api, h http.Header, body []byte) (publication, error) {
	event, err := decodeBinaryCloudEvent(h, body)
	return publication{events: []roxy.Event{event}, topic: "ce-subject", keyed: true}, err
}

// applyHeaders adds what a request may say about its events in headers.
func (p publication) applyHeaders(r *http.Request) error {
	key, err := idempotencyKey(r)
	if err != nil {
		return err
	}
	if key != "" {
		first := &p.events[0]
		switch {
		case p.array:
			return invalidKey("it goes with a single event; in an array each event has its own id")
		case p.keyed:
			return invalidKey("the key of a CloudEvent is its source and id")
		case first.ID != "" && first.ID != key:
			return invalidKey("differs from the event's id")
		}
		first.ID = key
	}
	if trace := traceParent(r.Header.Get("traceparent")); trace != "" {
		for i := range p.events {
			if p.events[i].TraceParent == "" {
				p.events[i].TraceParent = trace
			}
		}
	}
	return nil
}

// locate makes the hub's refusal of an event name the member as the request has it: the hub knows neither whether a
// lone event came in an array nor what CloudEvents call the topic.
func (p publication) locate(err error) error {
	problem, ok := errors.AsType[*roxy.Problem](err)
	if !ok || problem.Member == "" {
		return err
	}
	located := *problem
	if head, ok := strings.CutSuffix(located.Member, "topic"); ok {
		located.Member = head + p.topic
	}
	if p.array && located.Member[0] != '[' {
		located.Member = "[0]." + located.Member
	}
	return &located
}

// readBody returns the whole body of a publish or what is read like one; broken is the code of one that ends early.
func (a *api) readBody(x *exchange, r *http.Request, broken roxy.Code) ([]byte, error) {
	if r.ContentLength > a.maxBody {
		return nil, &http.MaxBytesError{Limit: a.maxBody}
	}
	// What is announced is believed up to the usual size, so that a lie costs its teller more than it costs us; the
	// rest is grown into. MinRead is the room that ReadFrom wants to see the end in.
	var body bytes.Buffer
	body.Grow(int(min(max(r.ContentLength, 0), 64<<10)) + bytes.MinRead)
	_, err := body.ReadFrom(http.MaxBytesReader(x.ResponseWriter, r.Body, a.maxBody))
	if err == nil {
		x.readUntil(time.Time{}) // the time of the commit is the hub's to bound
		return body.Bytes(), nil
	}
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return nil, err
	}
	detail := "the body could not be read to its end"
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		detail = "the body is shorter than Content-Length says"
	case errors.Is(err, os.ErrDeadlineExceeded):
		detail = fmt.Sprintf("the body took longer than %s", bodyTimeout)
	}
	return nil, &roxy.Problem{Code: broken, Detail: detail, Err: err}
}

// appendPublished appends the answer to a publish (docs/protocol.md §3): an ephemeral event has neither offset nor
// cursor, and without a durable one there is no epoch.
func appendPublished(b []byte, results []hub.Published) []byte {
	b = append(b, '{')
	for _, p := range results {
		if !p.Ephemeral {
			b = append(b, `"epoch":`...)
			b = appendString(b, p.Cursor.Epoch)
			b = append(b, ',')
			break
		}
	}
	b = append(b, `"events":[`...)
	for i, p := range results {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, '{')
		if p.ID != "" { // only an ephemeral event has neither key nor cursor
			b = append(b, `"id":`...)
			b = appendString(b, p.ID)
			b = append(b, ',')
		}
		if p.Ephemeral {
			b = append(b, `"ephemeral":true}`...)
			continue
		}
		b = append(b, `"offset":`...)
		b = strconv.AppendUint(b, p.Cursor.Offset, 10)
		b = append(b, `,"cursor":"`...) // a cursor holds nothing that JSON escapes
		b = p.Cursor.Append(b)
		b = append(b, `","duplicate":`...)
		b = strconv.AppendBool(b, p.Duplicate)
		b = append(b, '}')
	}
	return append(b, "]}"...)
}

// appendString appends s, which is UTF-8, as JSON.
func appendString(b []byte, s string) []byte {
	b, err := jsontext.AppendQuote(b, s)
	if err != nil {
		panic("BUG: a checked name is not UTF-8: " + err.Error())
	}
	return b
}
