package ws

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/roxyhub/roxy"
)

// request is one message of a client.
type request struct {
	op, ref string
	members map[string]jsontext.Value // of the op
}

// membersOf returns the members that a request may have besides op and ref.
func membersOf(op string) (members []string, known bool) {
	switch op {
	case "subscribe":
		return []string{"topic", "type", "after", "snapshot", "device", "heartbeat"}, true
	case "publish":
		return []string{"events"}, true
	case "mutate":
		return []string{"mutations"}, true
	case "ack":
		return []string{"device", "delivered", "ids"}, true
	case "refresh":
		return []string{"token"}, true
	case "unsubscribe", "ping":
		return nil, true
	default:
		return nil, false
	}
}

// parseRequest reads a message. Beyond the grammar of JSON it refuses repeated names, unknown members and bytes behind
// the object. The error is a *roxy.Problem; with it the request has its ref, if that can be told.
func parseRequest(b []byte) (request, error) {
	var req request
	if kind := jsontext.Value(b).Kind(); kind != '{' && kind != jsontext.KindInvalid {
		return req, invalid("", "a message is one object, {\"op\":…,\"ref\":…}")
	}
	if err := json.Unmarshal(b, &req.members); err != nil {
		return req, unreadable(err)
	}
	ref, err := req.take("ref")
	if err != nil {
		return req, err
	}
	if err := roxy.CheckName(ref); err != nil {
		return req, invalid("ref", "ref: %v", err)
	}
	req.ref = ref
	if req.op, err = req.take("op"); err != nil {
		return req, err
	}
	allowed, known := membersOf(req.op)
	if !known {
		return req, invalid("op", "op %.32q is none of subscribe, unsubscribe, publish, mutate, ack, ping and refresh", req.op)
	}
	for name := range req.members {
		if !slices.Contains(allowed, name) {
			return req, invalid(clip(name), "unknown member %.64q; %s has op, ref%s", name, req.op, others(allowed))
		}
	}
	return req, nil
}

// take returns a string member that must be there, and takes it out.
func (r *request) take(name string) (string, error) {
	value, ok := r.members[name]
	if !ok {
		return "", invalid(name, "%s is required", name)
	}
	delete(r.members, name)
	s, ok := text(value)
	if !ok {
		return "", invalid(name, "%s: want a string", name)
	}
	return s, nil
}

// query returns the members as the parameters of a subscription.
func (r *request) query() (url.Values, error) {
	query := make(url.Values)
	for name, value := range r.members {
		if name == "topic" || name == "type" {
			list, ok := texts(value)
			if !ok {
				return nil, invalid(name, "%s: want an array of strings", name)
			}
			query[name] = list
			continue
		}
		if name == "snapshot" {
			switch value.Kind() {
			case 't':
				query[name] = []string{"1"}
			case 'f':
			default:
				return nil, invalid(name, "%s: want true or false", name)
			}
			continue
		}
		s, ok := text(value)
		if !ok {
			return nil, invalid(name, "%s: want a string", name)
		}
		query[name] = []string{s}
	}
	return query, nil
}

// text returns the string that value is.
func text(value jsontext.Value) (s string, ok bool) {
	ok = value.Kind() == '"' && json.Unmarshal(value, &s) == nil
	return s, ok
}

// texts returns the strings in the array that value is.
func texts(value jsontext.Value) ([]string, bool) {
	var elements []jsontext.Value
	if value.Kind() != '[' || json.Unmarshal(value, &elements) != nil {
		return nil, false
	}
	list := make([]string, len(elements))
	for i, e := range elements {
		var ok bool
		if list[i], ok = text(e); !ok {
			return nil, false
		}
	}
	return list, true
}

// unreadable tells why a message is no JSON object. The cause is left out: it quotes the message.
func unreadable(err error) error {
	bad, ok := errors.AsType[*jsontext.SyntacticError](err)
	switch {
	case !ok:
		return invalid("", "the message is not JSON")
	case errors.Is(bad.Err, jsontext.ErrDuplicateName):
		member := clip(strings.TrimPrefix(string(bad.JSONPointer), "/"))
		return invalid(member, "byte %d: the name is given twice", bad.ByteOffset)
	default:
		return invalid("", "byte %d: %s", bad.ByteOffset, strings.TrimPrefix(bad.Err.Error(), "jsontext: "))
	}
}

func others(members []string) string {
	if len(members) == 0 {
		return " and no more"
	}
	return ", " + strings.Join(members, ", ")
}

// clip bounds what is repeated of a client's own words.
func clip(s string) string {
	const longest = 64
	if len(s) <= longest {
		return s
	}
	return strings.ToValidUTF8(s[:longest], "") + "…"
}

func invalid(member, format string, args ...any) error {
	return &roxy.Problem{Code: roxy.InvalidParameter, Member: member, Detail: fmt.Sprintf(format, args...)}
}
