package httpapi

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/cloudevents/sdk-go/v2/types"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/roxyhub/roxy"
)

// cloudEvent is a CloudEvent 1.0 in the two parts that every mode has.
type cloudEvent struct {
	attributes map[string]string
	data       []byte // compact JSON; nil when there is none
	// member names an attribute as its mode writes it: subject, [3].subject or ce-subject.
	member func(attribute string) string
}

// decodeCloudEvents reads a body of structured mode (application/cloudevents+json) or, with batch, of batch mode.
// JSON is held to the rules of decodeEvents, except that the format lets null stand for an attribute left out.
func decodeCloudEvents(body []byte, batch bool, maxBatch int) (events []roxy.Event, err error) {
	d := newDecoder(body)
	switch {
	case !batch:
		events = make([]roxy.Event, 1)
		err = d.cloudEvent(&events[0])
	case d.PeekKind() == '[':
		events, err = arrayOf(d, maxBatch, "event", (*decoder).cloudEvent)
	default:
		err = d.unexpected("an array of CloudEvents")
	}
	if err == nil {
		err = d.end()
	}
	if err != nil {
		return nil, err
	}
	return events, nil
}

// decodeBinaryCloudEvent reads an event of binary mode: attributes in ce- headers, data in the body.
func decodeBinaryCloudEvent(h http.Header, body []byte) (roxy.Event, error) {
	ce := cloudEvent{attributes: make(map[string]string), member: func(attribute string) string { return "ce-" + attribute }}
	for name, values := range h {
		attribute, ok := strings.CutPrefix(strings.ToLower(name), "ce-")
		if !ok {
			continue
		}
		value, err := headerAttribute(values)
		switch {
		case err != nil:
			return roxy.Event{}, ce.fault(attribute, err.Error())
		case attribute == "datacontenttype":
			return roxy.Event{}, ce.fault(attribute, "in binary mode it is the header Content-Type")
		}
		ce.attributes[attribute] = value
	}
	var err error
	if ce.data, err = binaryData(h, body); err != nil {
		return roxy.Event{}, err
	}
	var e roxy.Event
	err = ce.fill(&e)
	return e, err
}

// headerAttribute decodes an attribute as the HTTP binding §3.1.3.2 writes it: perhaps quoted, percent-encoded.
func headerAttribute(values []string) (string, error) {
	value := values[0]
	if len(values) > 1 {
		return "", fmt.Errorf("given %d times", len(values))
	}
	if strings.HasPrefix(value, `"`) {
		var ok bool
		if value, ok = unquoteField(value); !ok {
			return "", fmt.Errorf("not a quoted string")
		}
	}
	value, err := url.PathUnescape(value)
	if err != nil || !utf8.ValidString(value) {
		return "", fmt.Errorf("not percent-encoded UTF-8")
	}
	return value, nil
}

// binaryData returns the body as compact JSON: JSON as it is, plain text as a JSON string.
func binaryData(h http.Header, body []byte) ([]byte, error) {
	contentType := h.Get("Content-Type")
	text, ok := dataFormat(contentType)
	switch {
	case !ok:
		return nil, &roxy.Problem{
			Code: roxy.UnsupportedMedia, Member: "Content-Type",
			Detail: fmt.Sprintf("the data of a CloudEvent is JSON or text/plain in UTF-8, not %q", contentType),
		}
	case len(body) == 0:
		return nil, nil
	case text:
		data, err := jsontext.AppendQuote(nil, body)
		if err != nil {
			return nil, &roxy.Problem{Code: roxy.InvalidEvent, Member: "data", Detail: "data: the text is not UTF-8", Err: err}
		}
		return data, nil
	}
	d := newDecoder(body)
	data, err := d.data()
	if err == nil {
		err = d.end()
	}
	if p, ok := errors.AsType[*roxy.Problem](err); ok {
		located := *p
		located.Member = strings.TrimSuffix(strings.Replace("data."+p.Member, ".[", "[", 1), ".")
		return nil, &located
	}
	return data, nil
}

// dataFormat reports whether a datacontenttype announces plain text, not JSON, and whether the hub carries what it
// announces. None announces JSON.
func dataFormat(contentType string) (text, ok bool) {
	if contentType == "" {
		return false, true
	}
	media, params, err := mime.ParseMediaType(contentType)
	charset := strings.ToLower(params["charset"])
	switch {
	case err != nil, charset != "" && charset != "utf-8" && charset != "us-ascii":
		return false, false
	case media == "text/plain":
		return true, true
	default:
		return false, media == "application/json" || strings.HasSuffix(media, "+json")
	}
}

// cloudEvent reads one object of the JSON event format.
func (d *decoder) cloudEvent(e *roxy.Event) error {
	ce := cloudEvent{attributes: make(map[string]string), member: func(attribute string) string {
		return memberPath(d.StackPointer().AppendToken(attribute)) // the object was read last
	}}
	err := d.object("a CloudEvent", func(name jsontext.Token) (err error) {
		switch name := name.String(); name {
		case "data":
			ce.data, err = d.data()
		case "data_base64":
			err = d.fault("binary data is not carried: events are JSON; put the text of the base64 into data")
		default:
			err = d.attribute(ce.attributes, name)
		}
		return err
	})
	if err != nil {
		return err
	}
	text, ok := dataFormat(ce.attributes["datacontenttype"])
	if !ok {
		return ce.fault("datacontenttype", "data is JSON or text/plain in UTF-8")
	}
	if text && len(ce.data) > 0 && ce.data[0] != '"' {
		return ce.fault("data", "text/plain data is a JSON string")
	}
	return ce.fill(e)
}

// attribute reads the value of an attribute: a string, a number or a boolean. null is the same as leaving it out.
func (d *decoder) attribute(attributes map[string]string, name string) error {
	if k := d.PeekKind(); k == '{' || k == '[' {
		return d.unexpected("a string, a number or a boolean")
	}
	token, err := d.ReadToken()
	if err != nil {
		return d.syntax(err)
	}
	if token.Kind() != 'n' {
		attributes[name] = token.String()
	}
	return nil
}

// fill makes the event that ce stands for. Of the attributes it keeps subject (topic), type, source and id (the
// idempotency key), correlationid, traceparent, roxyroles and roxyusers (audience), roxyttl and roxyack. time, dataschema
// and the extensions of others are checked for form and left out: every event has the hub's own time.
func (c *cloudEvent) fill(e *roxy.Event) (err error) {
	if err := c.check(); err != nil {
		return err
	}
	if e.Topic, err = roxy.ParseTopic(c.attributes["subject"]); err != nil {
		return &roxy.Problem{Code: roxy.InvalidTopic, Member: c.member("subject"), Detail: err.Error()}
	}
	e.Type, e.Data = c.attributes["type"], c.data
	e.ID = cloudEventKey(c.attributes["source"], c.attributes["id"])
	e.TraceParent = traceParent(c.attributes["traceparent"])
	if correlation, ok := c.attributes["correlationid"]; ok {
		if err := roxy.CheckName(correlation); err != nil {
			return c.fault("correlationid", err.Error())
		}
		e.Correlation = correlation
	}
	if ttl, ok := c.attributes["roxyttl"]; ok {
		if e.TTL, err = parseTTL(ttl); err != nil {
			return c.fault("roxyttl", err.Error())
		}
	}
	if ack, ok := c.attributes["roxyack"]; ok {
		if e.Ack, err = parseAck(ack); err != nil {
			return c.fault("roxyack", err.Error())
		}
	}
	roles, err := c.list("roxyroles")
	if err != nil {
		return err
	}
	users, err := c.list("roxyusers")
	if err != nil {
		return err
	}
	if e.To, err = roxy.NewAudience(roles, users); err != nil {
		return c.fault("roxyroles", err.Error())
	}
	return nil
}

// check holds the attributes to the specification, by the SDK's rules, and refuses extensions that begin with roxy
// but are none of ours: a misspelt audience must not become everyone.
func (c *cloudEvent) check() error {
	for _, name := range slices.Sorted(maps.Keys(c.attributes)) {
		if name == "" || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789") != "" {
			return c.fault(name, "the name of an attribute is made of a-z and 0-9")
		}
		known := name == "roxyroles" || name == "roxyusers" || name == "roxyttl" || name == "roxyack"
		if strings.HasPrefix(name, "roxy") && !known {
			return c.fault(name, "unknown extension; of those that begin with roxy there are roxyroles, roxyusers, roxyttl and roxyack")
		}
	}
	if v := c.attributes["specversion"]; v != event.CloudEventsVersionV1 {
		return c.fault("specversion", fmt.Sprintf("%q, want 1.0", v))
	}
	var ec event.EventContextV1
	for _, set := range []struct {
		attribute string
		to        func(string) error
	}{
		{"id", ec.SetID},
		{"source", ec.SetSource},
		{"type", ec.SetType},
		{"subject", ec.SetSubject},
		{"datacontenttype", ec.SetDataContentType},
		{"dataschema", ec.SetDataSchema},
		{"time", func(s string) error {
			at, err := types.ParseTime(s)
			if err != nil {
				return err
			}
			return ec.SetTime(at)
		}},
	} {
		value, ok := c.attributes[set.attribute]
		if !ok {
			continue
		}
		if value == "" {
			return c.fault(set.attribute, "empty")
		}
		if err := set.to(value); err != nil {
			return c.fault(set.attribute, "not of the form that CloudEvents 1.0 gives it")
		}
	}
	wrong := ec.Validate()
	for _, attribute := range slices.Sorted(maps.Keys(wrong)) {
		return c.fault(attribute, wrong[attribute].Error())
	}
	if ec.Subject == nil {
		return &roxy.Problem{Code: roxy.InvalidTopic, Member: c.member("subject"), Detail: "subject is required: it is the topic"}
	}
	return nil
}

// list reads an extension that names several, separated by commas; nil when there is none.
func (c *cloudEvent) list(attribute string) ([]string, error) {
	value, ok := c.attributes[attribute]
	if !ok {
		return nil, nil
	}
	names := make([]string, 0, 1+strings.Count(value, ","))
	for name := range strings.SplitSeq(value, ",") {
		name = strings.TrimSpace(name)
		if err := roxy.CheckName(name); err != nil {
			return nil, c.fault(attribute, err.Error())
		}
		names = append(names, name)
	}
	return names, nil
}

func (c *cloudEvent) fault(attribute, why string) error {
	member := c.member(attribute)
	return &roxy.Problem{Code: roxy.InvalidEvent, Member: member, Detail: member + ": " + why}
}

// cloudEventKey joins what identifies a CloudEvent. The source's length keeps different pairs apart; what is no name
// of at most 128 bytes is hashed.
func cloudEventKey(source, id string) string {
	key := strconv.Itoa(len(source)) + ":" + source + ":" + id
	if roxy.CheckName(key) == nil {
		return key
	}
	sum := sha256.Sum256([]byte(key))
	return "sha256:" + base64.RawURLEncoding.EncodeToString(sum[:])
}
