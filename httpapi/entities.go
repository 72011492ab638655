package httpapi

import (
	"encoding/base64"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/document"
)

// Bounds of a page of entities.
const (
	defaultPage = 100
	maxPage     = 1000
)

// entity answers GET /v1/entities/{topic} in the caller's view.
func (a *api) entity(x *exchange, r *http.Request) error {
	who, topic, err := a.entityRequest(x, r)
	if err != nil {
		return err
	}
	e, cursor, err := a.Hub.Entity(r.Context(), who, topic)
	if err != nil {
		return err
	}
	tag := etag(e.Version)
	x.Header().Set("ETag", tag)
	if matches(r.Header.Values("If-None-Match"), tag) {
		x.Header().Set("Cache-Control", "no-store")
		x.WriteHeader(http.StatusNotModified)
		return nil
	}
	b := appendEntity(nil, &e)
	b = append(b[:len(b)-1], `,"cursor":"`...)
	x.answer(append(cursor.Append(b), `"}`...))
	return nil
}

// appendEntity appends one entity as lists and reads have it.
func appendEntity(b []byte, e *roxy.Entity) []byte {
	b = append(b, `{"topic":"`...)
	b = append(b, e.Topic.String()...)
	b = append(b, `","version":`...)
	b = strconv.AppendUint(b, e.Version, 10)
	b = append(b, `,"data":`...)
	if e.Data == nil {
		b = append(b, "null"...)
	} else {
		b = append(b, e.Data...)
	}
	if e.Version == 0 {
		return append(b, '}') // of a conflict with what there never was
	}
	b = append(b, `,"time":"`...)
	b = e.Time.AppendFormat(b, time.RFC3339Nano)
	return append(b, `"}`...)
}

func (a *api) entityRequest(x *exchange, r *http.Request) (roxy.Identity, roxy.Topic, error) {
	who, err := a.authenticate(x, r)
	if err != nil {
		return roxy.Identity{}, roxy.Topic{}, err
	}
	topic, err := roxy.ParseTopic(r.PathValue("topic"))
	if err != nil {
		return roxy.Identity{}, roxy.Topic{}, &roxy.Problem{Code: roxy.InvalidTopic, Member: "topic", Detail: err.Error()}
	}
	return who, topic, nil
}

// entities answers GET /v1/entities: a page of what matches a pattern, sorted by topic.
func (a *api) entities(x *exchange, r *http.Request) error {
	who, err := a.authenticate(x, r)
	if err != nil {
		return err
	}
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return &roxy.Problem{Code: roxy.InvalidParameter, Detail: "the query is not percent-encoded as it should be"}
	}
	list, err := parseList(query)
	if err != nil {
		return err
	}
	entities, cursor, more, err := a.Hub.Entities(r.Context(), who, list.match, list.after, list.limit)
	if err != nil {
		return err
	}
	switch { // what came since the first page lies behind the first page's cursor
	case list.cursor == roxy.Cursor{}:
		list.cursor = cursor
	case list.cursor.Epoch != cursor.Epoch || list.cursor.Offset > cursor.Offset:
		return invalidParameter("page", "page: the log began a new life since the first page: begin again without")
	}
	b := append([]byte(nil), `{"entities":[`...)
	for i := range entities {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendEntity(b, &entities[i])
	}
	b = append(b, `],"cursor":"`...)
	b = append(list.cursor.Append(b), '"')
	if more {
		list.after = entities[len(entities)-1].Topic
		b = append(b, `,"page":"`...)
		b = append(append(b, list.token()...), '"')
	}
	x.answer(append(b, '}'))
	return nil
}

// listing is one page that is asked for.
type listing struct {
	match  roxy.Pattern
	after  roxy.Topic  // the last one of the page before
	cursor roxy.Cursor // of the first page; zero on it
	limit  int
}

// token is what leads to the page behind l.after. It holds what the caller was told already.
func (l *listing) token() string {
	return base64.RawURLEncoding.EncodeToString([]byte(l.cursor.String() + "\n" + l.match.String() + "\n" + l.after.String()))
}

// parsePageLimit reads how many entries of a list a page may have.
func parsePageLimit(value string) (int, error) {
	n, err := strconv.ParseUint(value, 10, 16) // no sign
	if err != nil || n < 1 || n > maxPage {
		return 0, invalidParameter("limit", "limit %.20q: want 1 to %d", value, maxPage)
	}
	return int(n), nil
}

func parseList(query url.Values) (listing, error) {
	l := listing{limit: defaultPage}
	for name, values := range query {
		if len(values) != 1 {
			return l, invalidParameter(name, "%s is given %d times", name, len(values))
		}
		var err error
		switch value := values[0]; name {
		case "match":
			if l.match, err = roxy.ParsePattern(value); err != nil {
				return l, &roxy.Problem{Code: roxy.InvalidTopic, Member: name, Detail: err.Error()}
			}
		case "limit":
			if l.limit, err = parsePageLimit(value); err != nil {
				return l, err
			}
		case "page": // below: it is told apart by match
		case "ticket": // authenticate has read it
		default:
			return l, invalidParameter(name, "unknown parameter %.64q: known are match, limit, page and ticket", name)
		}
	}
	if (l.match == roxy.Pattern{}) {
		return l, invalidParameter("match", "match is required: a pattern, as in ?match=orders/*")
	}
	if pages, ok := query["page"]; ok {
		return l, l.goOn(pages[0])
	}
	return l, nil
}

// goOn has l begin where a token leads.
func (l *listing) goOn(token string) error {
	text, err := base64.RawURLEncoding.DecodeString(token)
	if parts := strings.Split(string(text), "\n"); err == nil && len(parts) == 3 && parts[1] == l.match.String() {
		if l.cursor, err = roxy.ParseCursor(parts[0]); err == nil {
			if l.after, err = roxy.ParseTopic(parts[2]); err == nil && l.match.Matches(l.after) {
				return nil
			}
		}
	}
	return invalidParameter("page", "page is none that was given for this match: begin again without")
}

func invalidParameter(member, format string, args ...any) error {
	return &roxy.Problem{Code: roxy.InvalidParameter, Member: member, Detail: fmt.Sprintf(format, args...)}
}

// write answers PUT, PATCH and DELETE of /v1/entities/{topic}: one mutation, whose guard is in headers.
func (a *api) write(x *exchange, r *http.Request) error {
	who, topic, err := a.entityRequest(x, r)
	if err != nil {
		return err
	}
	m := roxy.Mutation{Topic: topic}
	if err := guardOf(r.Header, &m); err != nil {
		return err
	}
	if err := labelsOf(r.Header, &m); err != nil {
		return err
	}
	if err := a.readContent(x, r, &m); err != nil {
		return err
	}
	one := []roxy.Mutation{m}
	if err := applyMutationHeaders(r, one); err != nil {
		return err
	}
	x.correlation = m.Correlation
	state, err := a.Limits.Publish(who.Tenant, who.User, 1)
	if err != nil {
		return err
	}
	if state.Name != "" {
		setRateLimit(x.Header(), state)
	}
	results, err := a.Hub.Mutate(r.Context(), who, one)
	if err != nil {
		return byHeaders(r.Header, err)
	}
	done := &results[0]
	x.Header().Set("ETag", etag(done.Version))
	status := http.StatusOK
	if done.Created {
		status = http.StatusCreated
	}
	x.answerWith(status, appendResult(nil, done))
	return nil
}

// readContent reads what the request does to the entity.
func (a *api) readContent(x *exchange, r *http.Request, m *roxy.Mutation) error {
	form, media := document.Document, "application/json"
	switch r.Method {
	case http.MethodPut:
		m.Op = roxy.Put
	case http.MethodPatch:
		m.Op, form, media = roxy.Patch, document.Patch, "application/merge-patch+json"
	default:
		m.Op = roxy.Delete
		return nil
	}
	if err := jsonBody(r.Header, media); err != nil {
		return err
	}
	if err := a.Limits.Memory(); err != nil {
		return err
	}
	body, err := a.readBody(x, r, roxy.InvalidMutation)
	if err != nil {
		return err
	}
	d := newDecoder(body)
	d.code = roxy.InvalidMutation
	if m.Data, err = d.document(form); err == nil {
		err = d.end()
	}
	return err
}

// jsonBody refuses a body that is not of the media type: forms and plain text, which pages may send to a foreign origin
// without asking, among others.
func jsonBody(h http.Header, want string) error {
	if encoding := h.Get("Content-Encoding"); encoding != "" && !strings.EqualFold(encoding, "identity") {
		return &roxy.Problem{Code: roxy.UnsupportedMedia, Member: "Content-Encoding", Detail: fmt.Sprintf("a body is sent as it is, not as %q", encoding)}
	}
	media, params, err := mime.ParseMediaType(h.Get("Content-Type"))
	if err != nil || media != want || params["charset"] != "" && !strings.EqualFold(params["charset"], "utf-8") {
		return &roxy.Problem{Code: roxy.UnsupportedMedia, Member: "Content-Type", Detail: fmt.Sprintf("Content-Type %q: want %s", h.Get("Content-Type"), want)}
	}
	return nil
}

// guardOf reads If-Match, If-None-Match and Roxy-Base; at most one of them is given.
func guardOf(h http.Header, m *roxy.Mutation) error {
	m.Guard = roxy.GuardNone
	given := ""
	for _, name := range []string{"If-Match", "If-None-Match", "Roxy-Base"} {
		values := h.Values(name)
		if len(values) == 0 {
			continue
		}
		if given != "" {
			return invalidParameter(name, "header %s: %s is given already, and one of them guards", name, given)
		}
		given = name
		value := strings.TrimSpace(values[0])
		if len(values) > 1 || strings.Contains(value, ",") {
			return invalidParameter(name, "header %s: one value guards, no list", name)
		}
		switch {
		case name == "If-None-Match" && value == "*":
			m.Guard = roxy.GuardVersion
		case name == "If-None-Match":
			return invalidParameter(name, "header If-None-Match: only * guards a write: there must be no entity")
		case name == "If-Match" && value == "*":
			m.Present = true
		case name == "If-Match":
			version, err := parseTag(value)
			if err != nil {
				return invalidParameter(name, "header If-Match: %.40q: want the ETag that was read, as in \"7\", or *", value)
			}
			m.Guard, m.Base = roxy.GuardVersion, version
		default:
			base, err := strconv.ParseUint(value, 10, 53)
			if err != nil {
				return invalidParameter(name, "header Roxy-Base: %.40q: want the version that was read, as in 7", value)
			}
			m.Guard, m.Base = roxy.GuardFields, base
		}
	}
	return nil
}

// labelsOf reads what else a mutation may say, in headers.
func labelsOf(h http.Header, m *roxy.Mutation) error {
	for name, field := range map[string]*string{"Roxy-Device": &m.Device, "Roxy-Type": &m.Type, "Roxy-Correlation": &m.Correlation} {
		values := h.Values(name)
		if len(values) > 1 {
			return invalidParameter(name, "header %s is given %d times", name, len(values))
		}
		*field = h.Get(name)
	}
	if value := h.Get("Roxy-Seq"); value != "" {
		seq, err := strconv.ParseUint(value, 10, 53)
		if err != nil {
			return invalidParameter("Roxy-Seq", "header Roxy-Seq: %.40q: want a whole number", value)
		}
		m.Seq = seq
	}
	return nil
}

// byHeaders makes the hub's refusal of a mutation that came as a request of its own name the header or the part of the
// body at fault.
func byHeaders(h http.Header, err error) error {
	problem, ok := errors.AsType[*roxy.Problem](err)
	if !ok {
		return err
	}
	located := *problem
	switch head, rest, _ := strings.Cut(problem.Member, "."); head {
	case "data", "patch":
		located.Member = rest
	case "id":
		located.Member = "Idempotency-Key"
	case "device", "seq", "type", "correlation":
		located.Member = "Roxy-" + strings.ToUpper(head[:1]) + head[1:]
	case "base":
		for _, name := range []string{"If-Match", "If-None-Match", "Roxy-Base"} {
			if h.Get(name) != "" {
				located.Member = name
			}
		}
	}
	if located.Code == roxy.VersionConflict {
		return precondition{&located}
	}
	return &located
}

// etag spells a version as an entity tag.
func etag(version uint64) string { return `"` + strconv.FormatUint(version, 10) + `"` }

func parseTag(s string) (uint64, error) {
	digits, ok := strings.CutPrefix(s, `"`)
	digits, closed := strings.CutSuffix(digits, `"`)
	version, err := strconv.ParseUint(digits, 10, 53)
	if err == nil && (!ok || !closed || version == 0) {
		err = fmt.Errorf("no entity tag")
	}
	return version, err
}

// matches reports whether an If-None-Match header names tag; weak ones compare equal (RFC 9110 §13.1.2).
func matches(header []string, tag string) bool {
	for _, line := range header {
		for value := range strings.SplitSeq(line, ",") {
			if value = strings.TrimPrefix(strings.TrimSpace(value), "W/"); value == tag || value == "*" {
				return true
			}
		}
	}
	return false
}
