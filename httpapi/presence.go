package httpapi

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/hub"
)

// presence answers GET /v1/presence: a page of who is present, sorted by user.
func (a *api) presence(x *exchange, r *http.Request) error {
	who, err := a.authenticate(x, r)
	if err != nil {
		return err
	}
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return &roxy.Problem{Code: roxy.InvalidParameter, Detail: "the query is not percent-encoded as it should be"}
	}
	asked, err := parseRoll(query)
	if err != nil {
		return err
	}
	page, err := a.Hub.Presence(r.Context(), who, asked.topic, asked.after, asked.limit)
	if err != nil {
		return err
	}
	text, err := json.Marshal(asked.body(&page))
	if err != nil {
		panic("BUG: names and times do not encode: " + err.Error())
	}
	x.answer(text)
	return nil
}

// roll is one page of who is present that is asked for.
type roll struct {
	topic roxy.Topic // zero for wherever they are
	after string     // the last user of the page before
	limit int
}

type rollBody struct {
	Topic   string     `json:"topic,omitempty"`
	Users   []rollUser `json:"users"`
	Settles time.Time  `json:"settles,omitzero"`
	Page    string     `json:"page,omitempty"`
}

type rollUser struct {
	User    string       `json:"user"`
	Devices []rollDevice `json:"devices"`
}

type rollDevice struct {
	Device    string    `json:"device,omitempty"`
	Since     time.Time `json:"since"`
	Connected bool      `json:"connected"`
	Transport string    `json:"transport,omitempty"`
}

func (l *roll) body(page *hub.Attendance) rollBody {
	b := rollBody{Topic: l.topic.String(), Users: []rollUser{}, Settles: page.Settles}
	for _, u := range page.Users {
		user := rollUser{User: u.User}
		for _, d := range u.Devices {
			user.Devices = append(user.Devices, rollDevice(d))
		}
		b.Users = append(b.Users, user)
	}
	if page.More {
		b.Page = l.token(page.Users[len(page.Users)-1].User)
	}
	return b
}

// token is what leads to the page behind a user. It holds what the caller was told already.
func (l *roll) token(user string) string {
	return base64.RawURLEncoding.EncodeToString([]byte(l.topic.String() + "\n" + user))
}

func parseRoll(query url.Values) (roll, error) {
	l := roll{limit: defaultPage}
	for name, values := range query {
		if len(values) != 1 {
			return l, invalidParameter(name, "%s is given %d times", name, len(values))
		}
		var err error
		switch value := values[0]; name {
		case "topic":
			if l.topic, err = roxy.ParseTopic(value); err != nil {
				return l, &roxy.Problem{Code: roxy.InvalidTopic, Member: name, Detail: err.Error()}
			}
		case "limit":
			if l.limit, err = parsePageLimit(value); err != nil {
				return l, err
			}
		case "page": // below: it is told apart by topic
		case "ticket": // authenticate has read it
		default:
			return l, invalidParameter(name, "unknown parameter %.64q: known are topic, limit, page and ticket", name)
		}
	}
	if pages, ok := query["page"]; ok {
		return l, l.goOn(pages[0])
	}
	return l, nil
}

// goOn has l begin where a token leads.
func (l *roll) goOn(token string) error {
	text, err := base64.RawURLEncoding.DecodeString(token)
	topic, user, ok := strings.Cut(string(text), "\n")
	if err != nil || !ok || topic != l.topic.String() || roxy.CheckName(user) != nil {
		return invalidParameter("page", "page is none that was given for this topic: begin again without")
	}
	l.after = user
	return nil
}
