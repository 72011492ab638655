package httpapi

import (
	"bytes"
	"crypto/sha256"
	_ "embed" // the documents' sources
	"encoding/base64"
	"fmt"
	"net/http"
	"runtime/debug"
	"slices"
	"sync"
)

// The documents as people write them. What could drift from the code is filled in by filling: see there for the marks.
var (
	//go:embed openapi.json
	openapiSource []byte
	//go:embed asyncapi.json
	asyncapiSource []byte
)

// Schema is one of the application's JSON Schemas (2020-12), as the documents show it.
type Schema struct {
	Name   string   // its file's, such as orders.json; other schemas refer to it by that
	Entity string   // the pattern of the topics whose entities it holds; "" for none
	Events []string // the types of the events whose data it holds
	Text   []byte
}

func (s *Schema) equal(other *Schema) bool {
	return s.Name == other.Name && s.Entity == other.Entity && slices.Equal(s.Events, other.Events) && bytes.Equal(s.Text, other.Text)
}

// served is a document with its media type and its entity tag.
type served struct {
	body      []byte
	mediaType string
	tag       string
}

func serve(body []byte, mediaType string) served {
	sum := sha256.Sum256(body)
	return served{body, mediaType, `"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`}
}

// documents are what the listener tells of itself: made once, and again when the application's schemas have changed.
type documents struct {
	mu    sync.Mutex
	plain *described // for whoever asks
	whole *described // for who is known
}

// described are both documents with some schemas.
type described struct {
	schemas           []Schema
	openapi, asyncapi served
}

// openapi answers GET /v1/openapi.json to all.
func (a *api) openapi(x *exchange, r *http.Request) error {
	d, err := a.describeMyself(x, r)
	if err != nil {
		return err
	}
	d.openapi.answer(x, r)
	return nil
}

// asyncapi answers GET /v1/asyncapi.json to all.
func (a *api) asyncapi(x *exchange, r *http.Request) error {
	d, err := a.describeMyself(x, r)
	if err != nil {
		return err
	}
	d.asyncapi.answer(x, r)
	return nil
}

// answer sends the document, or says that it is the one that the client has. Whoever keeps it asks each time: the next
// hub at this address may be another version.
func (s served) answer(x *exchange, r *http.Request) {
	h := x.Header()
	h.Set("ETag", s.tag)
	h.Set("Cache-Control", "no-cache")
	if matches(r.Header.Values("If-None-Match"), s.tag) {
		x.WriteHeader(http.StatusNotModified)
		return
	}
	h.Set("Content-Type", s.mediaType)
	h.Set("X-Content-Type-Options", "nosniff")
	x.WriteHeader(http.StatusOK)
	_, _ = x.Write(s.body) // an error means that nobody waits for it
}

// describeMyself returns the documents. The application's schemas, which name what some may not see, are for who can show
// who they are; what the hub is like by itself stands in the handbook.
func (a *api) describeMyself(x *exchange, r *http.Request) (*described, error) {
	x.Header().Add("Vary", "Authorization, Cookie")
	d := &a.documents
	made := &d.plain
	var schemas []Schema
	if a.Schemas != nil {
		if _, err := a.authenticate(x, r); err == nil {
			made, schemas = &d.whole, a.Schemas()
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if *made == nil || !slices.EqualFunc((*made).schemas, schemas, func(a, b Schema) bool { return a.equal(&b) }) {
		fresh, err := describeWith(a.filling(schemas), schemas)
		if err != nil {
			return nil, err
		}
		*made = fresh
	}
	return *made, nil
}

func describeWith(f *filling, schemas []Schema) (*described, error) {
	openapi, err := f.fill(openapiSource)
	if err != nil {
		return nil, fmt.Errorf("openapi.json: %w", err)
	}
	if f.shared, err = componentSchemas(openapi); err != nil {
		return nil, fmt.Errorf("openapi.json: %w", err)
	}
	asyncapi, err := f.fill(asyncapiSource)
	if err != nil {
		return nil, fmt.Errorf("asyncapi.json: %w", err)
	}
	return &described{schemas, serve(openapi, "application/json"), serve(asyncapi, "application/json")}, nil
}

// module is the path of what the hub is made of.
const module = "github.com/roxyhub/roxy"

// version returns that of the module in this program, whoever's it is.
func version() string {
	const unknown = "(devel)" // as go build says of a checkout
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return unknown
	}
	for _, m := range append([]*debug.Module{&info.Main}, info.Deps...) {
		if m.Path == module && m.Version != "" {
			return m.Version
		}
	}
	return unknown
}
