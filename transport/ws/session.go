package ws

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/hub"
	"github.com/roxyhub/roxy/transport"
)

// outlet is the socket as a session sees it.
type outlet interface {
	// stream replaces the stream that the socket carries by that of sub, and returns when it is under way: answer goes
	// out right before its first event. An error, a *roxy.Problem, says that nothing was sent, and no stream runs.
	stream(ctx context.Context, sub hub.Subscription, answer []byte) error
	// reply sends an answer. It has failed when the connection is over, and then its reader knows.
	reply(answer []byte)
}

// session is what a client does with its socket. One message is handled after the other, so that the answers come in
// the order of the requests and nothing has to be kept for a client that does not read them.
//
// The hub knows a socket by its stream, so there always is one: a socket that subscribes nothing has one without
// patterns, which lets the hub end it, list it and count it like any other.
type session struct {
	opts       *Options
	peer       Peer
	out        outlet
	id         string // of the connection
	subscribed bool
}

// quietHeartbeat is how often a socket that subscribes nothing is sent a ping.
const quietHeartbeat = 30 * time.Second

// start gives the socket its first stream.
func (s *session) start(ctx context.Context) error {
	return s.out.stream(ctx, s.subscription(hub.Subscription{Heartbeat: quietHeartbeat, Encoding: quiet{}}), nil)
}

func (s *session) subscription(sub hub.Subscription) hub.Subscription {
	sub.Connection, sub.Identity, sub.Remote, sub.Transport = s.id, s.peer.Identity, s.peer.Remote, "ws"
	return sub
}

// handle does what a text message asks for. An error ends the connection.
func (s *session) handle(ctx context.Context, text []byte, encoding hub.Encoding) error {
	req, err := parseRequest(text)
	var answer []byte
	if err == nil {
		answer, err = s.do(ctx, req, encoding)
	}
	if ended, ok := errors.AsType[*closeError](err); ok {
		return ended
	}
	if err != nil {
		answer = s.refusal(req.ref, err)
	}
	if answer != nil {
		s.out.reply(answer)
	}
	return nil
}

// do returns the answer to req, nil when it is on its way already.
func (s *session) do(ctx context.Context, req request, encoding hub.Encoding) ([]byte, error) {
	if who, ok := s.opts.Hub.Identity(s.id); ok {
		s.peer.Identity = who // it may have been refreshed over HTTP
	}
	switch req.op {
	case "ping":
		return accept(req.ref, struct {
			Time time.Time `json:"time"`
		}{time.Now().UTC()}), nil
	case "refresh":
		return s.refresh(ctx, req)
	}
	who, err := s.opts.Host.Still(s.peer.Identity)
	if err != nil {
		return nil, err
	}
	s.peer.Identity = who
	switch req.op {
	case "publish":
		return s.commit(ctx, req, "events", "one event or an array of events")
	case "mutate":
		return s.commit(ctx, req, "mutations", "one mutation or an array of mutations")
	case "ack":
		return s.acknowledge(ctx, req)
	case "subscribe":
		return nil, s.subscribe(ctx, req, encoding)
	default:
		return s.unsubscribe(ctx, req)
	}
}

func (s *session) subscribe(ctx context.Context, req request, encoding hub.Encoding) error {
	if s.subscribed {
		return invalid("op", "the connection has a subscription: unsubscribe first, or subscribe all topics in one")
	}
	if err := s.peer.Attempt(); err != nil {
		return err
	}
	query, err := req.query()
	if err != nil {
		return err
	}
	sub, err := transport.ParseSubscription(query, "", s.opts.Subscription)
	if err != nil {
		return err
	}
	sub.Encoding = encoding
	answer := accept(req.ref, struct {
		Connection string `json:"connection"`
	}{s.id})
	if err := s.out.stream(ctx, s.subscription(sub), answer); err != nil {
		return errors.Join(err, s.settle(ctx))
	}
	s.subscribed = true
	return nil
}

// settle goes back to a stream without patterns.
func (s *session) settle(ctx context.Context) error {
	if err := s.start(ctx); err != nil {
		return &closeError{codeTryLater, "the hub takes no streams now"}
	}
	s.subscribed = false
	return nil
}

func (s *session) unsubscribe(ctx context.Context, req request) ([]byte, error) {
	if !s.subscribed {
		return nil, &roxy.Problem{Code: roxy.NotFound, Member: "op", Detail: "the connection has no subscription"}
	}
	if err := s.settle(ctx); err != nil {
		return nil, err
	}
	return accept(req.ref, struct{}{}), nil
}

// commit has the host do something durable with a member of the request, and returns its answer as members of ours.
func (s *session) commit(ctx context.Context, req request, member, what string) ([]byte, error) {
	value, ok := req.members[member]
	if !ok {
		return nil, invalid(member, "%s is required: %s", member, what)
	}
	members, err := s.opts.Host.Commit(ctx, s.peer.Identity, req.op, value)
	if err != nil {
		return nil, within(member, err)
	}
	return append(accepted(req.ref), append([]byte{','}, members[1:]...)...), nil
}

// acknowledge has the host take what a device acknowledges: the members of the request are those of POST /v1/acks.
func (s *session) acknowledge(ctx context.Context, req request) ([]byte, error) {
	value, err := json.Marshal(req.members)
	if err != nil {
		panic("BUG: members that were read do not marshal: " + err.Error())
	}
	members, err := s.opts.Host.Commit(ctx, s.peer.Identity, req.op, value)
	if err != nil {
		return nil, err
	}
	return append(accepted(req.ref), append([]byte{','}, members[1:]...)...), nil
}

// within makes a problem of the value of member name the place in the message.
func within(member string, err error) error {
	p, ok := errors.AsType[*roxy.Problem](err)
	if !ok || p.Code == roxy.RateLimited || p.Code == roxy.Overloaded {
		return err
	}
	located := *p
	switch {
	case p.Member == "":
		located.Member = member
	case strings.HasPrefix(p.Member, "["):
		located.Member = member + p.Member
	default:
		located.Member = member + "." + p.Member
	}
	return &located
}

func (s *session) refresh(ctx context.Context, req request) ([]byte, error) {
	if err := s.peer.Attempt(); err != nil {
		return nil, err
	}
	token, err := req.take("token")
	if err != nil {
		return nil, err
	}
	fresh, err := s.opts.Host.Verify(ctx, token)
	if err != nil {
		return nil, err
	}
	if err := s.opts.Hub.Refresh(s.id, fresh); err != nil {
		return nil, err
	}
	s.peer.Identity = fresh
	return accept(req.ref, struct {
		Connection string    `json:"connection"`
		Expires    time.Time `json:"expires"`
	}{s.id, fresh.Expires.UTC()}), nil
}

// accept returns the answer to a request that was done; v has its further members.
func accept(ref string, v any) []byte {
	members, err := json.Marshal(v)
	if err != nil {
		panic("BUG: an answer does not marshal: " + err.Error())
	}
	answer := accepted(ref)
	if len(members) > len("{}") {
		answer = append(answer, ',')
	}
	return append(answer, members[1:]...)
}

// accepted returns the beginning of such an answer.
func accepted(ref string) []byte {
	return append(appendString([]byte(`{"ref":`), ref), `,"ok":true`...)
}

// refusal returns the answer to a request that was not done; ref is "" when it could not be told.
func (s *session) refusal(ref string, err error) []byte {
	answer := []byte{'{'}
	if ref != "" {
		answer = append(appendString(append(answer, `"ref":`...), ref), ',')
	}
	answer = append(answer, `"ok":false,"problem":`...)
	answer = append(answer, s.opts.Host.Problem(err)...)
	return append(answer, '}')
}
