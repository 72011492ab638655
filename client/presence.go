package client

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/roxyhub/roxy"
)

// Presence says who is present, to a subscription whose patterns spell out roxy/presence: once for each connection, and
// whenever the hub has lost count of what it told, everybody; in between who joined and who left. A set of Joined that All
// empties first, and from which what is Left is taken, is always who is present.
type Presence struct {
	All    bool             // Joined is everybody: who was known before and is not in it has left
	Joined []PresenceChange // by user and device in no order
	Left   []PresenceChange
	// Settles comes with All when the hub began a short while ago: until then who was present before may not be back yet.
	// Zero otherwise.
	Settles time.Time
}

// PresenceChange is a device that is present, or is not any more.
type PresenceChange struct {
	User   string
	Device string    // "" stands for all streams of the user that name no device
	Since  time.Time // of one that is present: without a break longer than the hub's grace
	Until  time.Time // of one that left: when its last connection ended
	Others int       // by how many other devices the user is present; 0 means that the user has come, or gone. Not told with All
}

// PresentUser is somebody who is present.
type PresentUser struct {
	User    string          `json:"user"`
	Devices []PresentDevice `json:"devices"` // sorted by name, at least one
}

// PresentDevice is a device by which somebody is present.
type PresentDevice struct {
	Device    string    `json:"device"` // "" stands for all streams of the user that name no device
	Since     time.Time `json:"since"`  // without a break longer than the hub's grace
	Connected bool      `json:"connected"`
	Transport string    `json:"transport"` // of its newest stream while it is connected
}

// maxRoll bounds the list of who is present, which is put together from parts: far more than a tenant has connections.
const maxRoll = 1 << 20

// Presence yields who is present, sorted by user, page by page; an error is last. With a topic, it is those, and those of
// their devices, that hear it. The token has to read the topic and roxy/presence. It is repeated as Publish is.
func (c *Client) Presence(ctx context.Context, topic roxy.Topic) iter.Seq2[PresentUser, error] {
	return func(yield func(PresentUser, error) bool) {
		query := url.Values{"limit": {strconv.Itoa(pageEntities)}}
		if topic != (roxy.Topic{}) {
			query.Set("topic", topic.String())
		}
		for {
			answer, err := c.do(ctx, call{what: "ask who is present", method: http.MethodGet, path: "v1/presence", query: query})
			var page presencePage
			if err == nil {
				page, err = decodePresence(answer)
			}
			if err != nil {
				yield(PresentUser{}, err)
				return
			}
			for _, u := range page.Users {
				if !yield(u, nil) {
					return
				}
			}
			if page.Page == "" {
				return
			}
			query.Set("page", page.Page)
		}
	}
}

type presencePage struct {
	Users []PresentUser `json:"users"`
	Page  string        `json:"page"`
}

func decodePresence(text []byte) (page presencePage, err error) {
	if json.Unmarshal(text, &page) != nil {
		return page, errors.New("client: a list of who is present is not as docs/protocol.md §9 says")
	}
	return page, nil
}

// roll is the parts of a list that have come.
type roll struct {
	present []PresenceChange
	part    int
	parts   int // 0 while none is awaited
}

// presence takes a part of the list, which is given when it is whole, or a change.
func (f *follower) presence(block frame) error {
	type device struct {
		User   string    `json:"user"`
		Device string    `json:"device"`
		Since  time.Time `json:"since"`
		Until  time.Time `json:"until"`
		Others int       `json:"others"`
	}
	var told struct {
		Present []device  `json:"present"`
		Part    int       `json:"part"`
		Parts   int       `json:"parts"`
		Settles time.Time `json:"settles"`
		Joined  []device  `json:"joined"`
		Left    []device  `json:"left"`
	}
	if err := decode(block, &told); err != nil {
		return err
	}
	changes := func(devices []device) (list []PresenceChange) {
		for _, d := range devices {
			list = append(list, PresenceChange(d))
		}
		return list
	}
	r := &f.roll
	switch {
	case told.Parts == 0 && r.parts == 0:
		return f.give(Presence{Joined: changes(told.Joined), Left: changes(told.Left)})
	case told.Part == 1 && told.Parts >= 1:
		*r = roll{part: 1, parts: told.Parts}
	case r.parts != 0 && told.Parts == r.parts && told.Part == r.part+1:
		r.part++
	default:
		return fmt.Errorf("client: the hub sent part %d of %d of who is present behind part %d of %d", told.Part, told.Parts, r.part, r.parts)
	}
	if r.present = append(r.present, changes(told.Present)...); len(r.present) > maxRoll {
		return fmt.Errorf("client: more than %d devices are present", maxRoll)
	}
	if r.part < r.parts {
		return nil
	}
	whole := Presence{All: true, Joined: r.present, Settles: told.Settles}
	*r = roll{}
	return f.give(whole)
}
