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
	"github.com/go-json-experiment/json/jsontext"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/document"
)

// pageEntities is how many entities a page is asked for: as many as a hub gives.
const pageEntities = 1000

// Entity returns the entity at topic in the caller's view, and a cursor from which to follow it: Subscription.After.
// Nothing that lives there is roxy.ErrNotFound. Its Offset is not told. It is repeated as Publish is.
func (c *Client) Entity(ctx context.Context, topic roxy.Topic) (roxy.Entity, roxy.Cursor, error) {
	answer, err := c.do(ctx, call{what: "read an entity", method: http.MethodGet, path: "v1/entities/" + topic.String()})
	if err != nil {
		return roxy.Entity{}, roxy.Cursor{}, err
	}
	e, at, err := decodeEntity(answer)
	if err != nil {
		return roxy.Entity{}, roxy.Cursor{}, err
	}
	cursor, err := roxy.ParseCursor(at)
	if err != nil {
		return roxy.Entity{}, roxy.Cursor{}, fmt.Errorf("client: answer to a read: %w", err)
	}
	return e, cursor, nil
}

// Entities yields what matches pattern, sorted by topic, page by page; an error is last. Each page is as of when it was
// read: whoever wants to follow from there takes List, or a subscription with a Snapshot, which is simpler.
func (c *Client) Entities(ctx context.Context, pattern roxy.Pattern) iter.Seq2[roxy.Entity, error] {
	return func(yield func(roxy.Entity, error) bool) {
		list, err := c.List(ctx, pattern)
		if err != nil {
			yield(roxy.Entity{}, err)
			return
		}
		for e, err := range list.Entities(ctx) {
			if !yield(e, err) {
				return
			}
		}
	}
}

// List is the entities that match a pattern: the first page, and the way to the others.
type List struct {
	// Cursor is where to follow from (Subscription.After). Pages after the first may hold later versions: of what the
	// subscription brings, leave out what is not newer than the version that was listed.
	Cursor roxy.Cursor

	client  *Client
	pattern roxy.Pattern
	first   page
}

// List reads the first page of what matches pattern. It is repeated as Publish is.
func (c *Client) List(ctx context.Context, pattern roxy.Pattern) (*List, error) {
	first, err := c.page(ctx, pattern, "")
	if err != nil {
		return nil, err
	}
	return &List{Cursor: first.cursor, client: c, pattern: pattern, first: first}, nil
}

// Entities yields all of the list, reading page by page; an error is last.
func (l *List) Entities(ctx context.Context) iter.Seq2[roxy.Entity, error] {
	return func(yield func(roxy.Entity, error) bool) {
		for p := l.first; ; {
			for _, e := range p.entities {
				if !yield(e, nil) {
					return
				}
			}
			if p.next == "" {
				return
			}
			var err error
			if p, err = l.client.page(ctx, l.pattern, p.next); err != nil {
				yield(roxy.Entity{}, err)
				return
			}
		}
	}
}

// page is one page of a list; next leads to the one after, "" for none.
type page struct {
	entities []roxy.Entity
	cursor   roxy.Cursor
	next     string
}

func (c *Client) page(ctx context.Context, pattern roxy.Pattern, token string) (page, error) {
	query := url.Values{"match": {pattern.String()}, "limit": {strconv.Itoa(pageEntities)}}
	if token != "" {
		query.Set("page", token)
	}
	answer, err := c.do(ctx, call{what: "list entities", method: http.MethodGet, path: "v1/entities", query: query})
	if err != nil {
		return page{}, err
	}
	return decodePage(answer)
}

func decodePage(text []byte) (p page, err error) {
	var body struct {
		Entities []jsontext.Value `json:"entities"`
		Cursor   string           `json:"cursor"`
		Page     string           `json:"page"`
	}
	if json.Unmarshal(text, &body) != nil {
		return page{}, errors.New("client: a list of entities is not as docs/protocol.md §6 says")
	}
	p = page{entities: make([]roxy.Entity, len(body.Entities)), next: body.Page}
	for i := range p.entities {
		if p.entities[i], _, err = decodeEntity(body.Entities[i]); err != nil {
			return page{}, err
		}
	}
	if p.cursor, err = roxy.ParseCursor(body.Cursor); err != nil {
		return page{}, fmt.Errorf("client: a list of entities: %w", err)
	}
	return p, nil
}

// decodeEntity reads an entity as answers, snapshots and conflicts have it; a read has a cursor besides. What cannot be
// read is not told: it may be the entity's contents.
func decodeEntity(text []byte) (e roxy.Entity, cursor string, err error) {
	var body struct {
		Topic   string         `json:"topic"`
		Version uint64         `json:"version"`
		Data    jsontext.Value `json:"data"`
		Time    time.Time      `json:"time"`
		Cursor  string         `json:"cursor"`
	}
	if json.Unmarshal(text, &body) != nil {
		return roxy.Entity{}, "", errors.New("client: the hub sent an entity that is not as docs/protocol.md §6 says")
	}
	e = roxy.Entity{Version: body.Version, Time: body.Time}
	if e.Topic, err = roxy.ParseTopic(body.Topic); err != nil {
		return roxy.Entity{}, "", fmt.Errorf("client: an entity: %w", err)
	}
	if body.Data.Kind() != 'n' { // of one that was deleted
		if e.Data, err = document.Document(body.Data); err != nil {
			return roxy.Entity{}, "", fmt.Errorf("client: entity %s: %w", e.Topic, err)
		}
	}
	return e, body.Cursor, nil
}
