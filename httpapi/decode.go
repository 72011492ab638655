package httpapi

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/roxyhub/roxy"
)

// maxDepth bounds how deep the data of an event nests, so that no subscriber's parser meets more.
const maxDepth = 64

// decodeEvents reads the body of a publish: one event, or an array of 1 to maxBatch. Beyond the grammar of JSON
// (RFC 8259) it refuses unknown members, repeated names, null for any member but data, invalid UTF-8, lone
// surrogates and anything after the value. Errors are *roxy.Problem and name the member at fault from the body's
// root: to.roles[1], or [3].to.roles[1] in an array. The events do not share memory with body.
func decodeEvents(body []byte, maxBatch int) (events []roxy.Event, array bool, err error) {
	d := newDecoder(body)
	switch d.PeekKind() { // the others are no events
	case '{':
		events = make([]roxy.Event, 1)
		err = d.event(&events[0])
	case '[':
		array = true
		events, err = arrayOf(d, maxBatch, "event", (*decoder).event)
	default:
		err = d.unexpected("an event or an array of events")
	}
	if err == nil {
		err = d.end()
	}
	if err != nil {
		return nil, array, err
	}
	return events, array, nil
}

// decoder reads the tokens of one body.
type decoder struct {
	*jsontext.Decoder
	code roxy.Code // of what it refuses
}

func newDecoder(body []byte) *decoder {
	return &decoder{jsontext.NewDecoder(bytes.NewBuffer(body)), roxy.InvalidEvent}
}

// arrayOf reads an array of 1 to limit values, each by read. what is the word for one.
func arrayOf[T any](d *decoder, limit int, what string, read func(*decoder, *T) error) ([]T, error) {
	if _, err := d.ReadToken(); err != nil {
		return nil, d.syntax(err)
	}
	var all []T
	for d.PeekKind() != ']' {
		if len(all) == limit {
			return nil, &roxy.Problem{Code: roxy.TooLarge, Detail: fmt.Sprintf("the array holds more than %d %ss", limit, what)}
		}
		var one T
		if err := read(d, &one); err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	if _, err := d.ReadToken(); err != nil {
		return nil, d.syntax(err)
	}
	if len(all) == 0 {
		return nil, &roxy.Problem{Code: d.code, Member: d.member(), Detail: "the array holds no " + what}
	}
	return all, nil
}

// event reads one object of docs/protocol.md §3. The rules of values that need no JSON are left to Event.Check.
func (d *decoder) event(e *roxy.Event) error {
	e.Type = roxy.DefaultType
	return d.object("an event", func(name jsontext.Token) (err error) {
		switch name.String() {
		case "topic":
			e.Topic, err = d.topic()
		case "type":
			e.Type, err = d.name()
		case "data":
			e.Data, err = d.data()
		case "to":
			e.To, err = d.audience()
		case "id":
			e.ID, err = d.name()
		case "ttl":
			e.TTL, err = d.ttl()
		case "correlation":
			e.Correlation, err = d.name()
		case "except":
			e.Except, err = d.name()
		case "ephemeral":
			e.Ephemeral, err = d.bool()
		case "urgent":
			e.Urgent, err = d.bool()
		case "ack":
			e.Ack, err = d.ack()
		default:
			err = d.unknown("an event has the members topic, type, data, to, id, ttl, ack, correlation, except, ephemeral and urgent")
		}
		return err
	})
}

func (d *decoder) audience() (roxy.Audience, error) {
	var roles, users []string
	err := d.object("an object", func(name jsontext.Token) (err error) {
		switch name.String() {
		case "roles":
			roles, err = d.names()
		case "users":
			users, err = d.names()
		default:
			err = d.unknown("an audience has the members roles and users")
		}
		return err
	})
	if err != nil {
		return roxy.Audience{}, err
	}
	to, err := roxy.NewAudience(roles, users)
	if err != nil {
		return roxy.Audience{}, d.fault(err.Error())
	}
	return to, nil
}

// names reads an array of names. The bound is here as well as in NewAudience, so that a long one is not kept first.
func (d *decoder) names() ([]string, error) {
	if d.PeekKind() != '[' {
		return nil, d.unexpected("an array of strings")
	}
	if _, err := d.ReadToken(); err != nil {
		return nil, d.syntax(err)
	}
	var names []string
	for d.PeekKind() != ']' {
		name, err := d.name()
		if err != nil {
			return nil, err
		}
		if len(names) == roxy.MaxAudienceNames {
			return nil, d.fault(fmt.Sprintf("at most %d roles and users", roxy.MaxAudienceNames))
		}
		names = append(names, name)
	}
	if _, err := d.ReadToken(); err != nil {
		return nil, d.syntax(err)
	}
	return names, nil
}

func (d *decoder) topic() (roxy.Topic, error) {
	s, err := d.string()
	if err != nil {
		return roxy.Topic{}, err
	}
	topic, err := roxy.ParseTopic(s)
	if err != nil {
		return roxy.Topic{}, &roxy.Problem{Code: roxy.InvalidTopic, Member: d.member(), Detail: err.Error()}
	}
	return topic, nil
}

func (d *decoder) name() (string, error) {
	s, err := d.string()
	if err != nil {
		return "", err
	}
	if err := roxy.CheckName(s); err != nil {
		return "", d.fault(err.Error())
	}
	return s, nil
}

func (d *decoder) ttl() (time.Duration, error) {
	s, err := d.string()
	if err != nil {
		return 0, err
	}
	ttl, err := parseTTL(s)
	if err != nil {
		return 0, d.fault(err.Error())
	}
	return ttl, nil
}

func parseTTL(s string) (time.Duration, error) {
	ttl, err := time.ParseDuration(s)
	if err != nil || ttl <= 0 {
		return 0, errors.New("want a duration above 0 such as 30s or 1h30m")
	}
	return ttl, nil
}

// data returns the value as it was written but for the white space between tokens. Numbers are not read: 1e400 and
// 12345678901234567890 arrive as they were sent.
func (d *decoder) data() ([]byte, error) {
	value, err := d.ReadValue()
	if err != nil {
		return nil, d.syntax(err)
	}
	data, depth := compact(value)
	if depth > maxDepth {
		return nil, d.fault(fmt.Sprintf("nests %d deep, at most %d", depth, maxDepth))
	}
	return data, nil
}

// compact returns a copy of v, one valid JSON value, without the white space between its tokens, and how many
// arrays and objects lie inside one another.
func compact(v []byte) (out []byte, deepest int) {
	out = make([]byte, 0, len(v))
	depth, start := 0, 0
	for i := 0; i < len(v); i++ {
		switch v[i] {
		case '"':
			for i++; v[i] != '"'; i++ {
				if v[i] == '\\' {
					i++
				}
			}
		case '{', '[':
			depth++
			deepest = max(deepest, depth)
		case '}', ']':
			depth--
		case ' ', '\t', '\n', '\r':
			out = append(out, v[start:i]...)
			start = i + 1
		}
	}
	return append(out, v[start:]...), deepest
}

func (d *decoder) string() (string, error) {
	if d.PeekKind() != '"' {
		return "", d.unexpected("a string")
	}
	token, err := d.ReadToken()
	if err != nil {
		return "", d.syntax(err)
	}
	return token.String(), nil
}

func (d *decoder) bool() (bool, error) {
	if kind := d.PeekKind(); kind != 't' && kind != 'f' {
		return false, d.unexpected("true or false")
	}
	token, err := d.ReadToken()
	if err != nil {
		return false, d.syntax(err)
	}
	return token.Bool(), nil
}

// object reads an object: for each member it calls read, which reads the value. The name is a token, valid until
// then, because a switch over its String costs no allocation.
func (d *decoder) object(what string, read func(name jsontext.Token) error) error {
	if d.PeekKind() != '{' {
		return d.unexpected(what)
	}
	if _, err := d.ReadToken(); err != nil {
		return d.syntax(err)
	}
	for d.PeekKind() != '}' {
		name, err := d.ReadToken()
		if err != nil {
			return d.syntax(err)
		}
		if err := read(name); err != nil {
			return err
		}
	}
	if _, err := d.ReadToken(); err != nil {
		return d.syntax(err)
	}
	return nil
}

// end makes sure that nothing follows the value.
func (d *decoder) end() error {
	_, err := d.ReadToken()
	if errors.Is(err, io.EOF) {
		return nil
	}
	return &roxy.Problem{Code: d.code, Detail: fmt.Sprintf("byte %d: something follows the JSON value", d.InputOffset())}
}

// unexpected is what to answer when the next value is not of the kind that want describes.
func (d *decoder) unexpected(want string) error {
	token, err := d.ReadToken()
	if err != nil {
		return d.syntax(err)
	}
	kinds := map[jsontext.Kind]string{'n': "null", 't': "true", 'f': "false", '"': "a string", '0': "a number", '{': "an object", '[': "an array"}
	return d.fault(fmt.Sprintf("want %s, not %s", want, kinds[token.Kind()]))
}

// unknown refuses the member whose name was read last.
func (d *decoder) unknown(known string) error { return d.fault("unknown member; " + known) }

// fault refuses the member that was read last.
func (d *decoder) fault(why string) error {
	member := d.member()
	if member != "" {
		why = member + ": " + why
	}
	return &roxy.Problem{Code: d.code, Member: member, Detail: why}
}

// faultAt refuses a member of the object that was read last.
func (d *decoder) faultAt(member, why string) error {
	if of := d.member(); of != "" {
		member = of + "." + member
	}
	return &roxy.Problem{Code: d.code, Member: member, Detail: why}
}

// syntax tells an error of the JSON reader.
func (d *decoder) syntax(err error) error {
	p := &roxy.Problem{Code: d.code} // without the cause, which quotes the body
	if errors.Is(err, io.EOF) {
		p.Detail = "the body is empty"
		return p
	}
	bad, ok := errors.AsType[*jsontext.SyntacticError](err)
	if !ok {
		p.Detail = "the body is not JSON"
		return p
	}
	p.Member = memberPath(bad.JSONPointer)
	switch {
	case errors.Is(bad.Err, jsontext.ErrDuplicateName):
		p.Detail = p.Member + ": the name is given twice"
	case errors.Is(bad.Err, io.ErrUnexpectedEOF):
		p.Detail = fmt.Sprintf("byte %d: the body ends inside the JSON value", bad.ByteOffset)
	default:
		p.Detail = fmt.Sprintf("byte %d: %s", bad.ByteOffset, strings.TrimPrefix(bad.Err.Error(), "jsontext: "))
	}
	return p
}

// member is the path of what was read last.
func (d *decoder) member() string { return memberPath(d.StackPointer()) }

// memberPath writes a JSON pointer as people write paths: [3].to.roles[1]. A name made of digits alone looks like an
// index there; no member of ours has one.
func memberPath(p jsontext.Pointer) string {
	const longest = 200 // the names inside data are the caller's and may be long
	var path strings.Builder
	for token := range p.Tokens() {
		switch {
		case token != "" && strings.Trim(token, "0123456789") == "":
			path.WriteString("[" + token + "]")
		case path.Len() == 0:
			path.WriteString(token)
		default:
			path.WriteString("." + token)
		}
		if path.Len() > longest {
			return strings.ToValidUTF8(path.String()[:longest], "") + "…"
		}
	}
	return path.String()
}
