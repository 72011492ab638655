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

// served is a document with its entity tag.
type served struct {
	body []byte
	tag  string
}

func serve(body []byte) served {
	sum := sha256.Sum256(body)
	return served{body, `"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`}
}

// documents are what the listener tells of itself: made once, and again when the application's schemas have changed.
type documents struct {
	mu                sync.Mutex
	schemas           []Schema // that they were made with
	openapi, asyncapi served
}

// openapi answers GET /v1/openapi.json. It asks for no identity: what it tells is in the handbook, schemas included.
func (a *api) openapi(x *exchange, r *http.Request) error {
	openapi, _, err := a.describeMyself()
	if err != nil {
		return err
	}
	openapi.answer(x, r)
	return nil
}

// asyncapi answers GET /v1/asyncapi.json.
func (a *api) asyncapi(x *exchange, r *http.Request) error {
	_, asyncapi, err := a.describeMyself()
	if err != nil {
		return err
	}
	asyncapi.answer(x, r)
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
	h.Set("Content-Type", "application/json")
	h.Set("X-Content-Type-Options", "nosniff")
	x.WriteHeader(http.StatusOK)
	_, _ = x.Write(s.body) // an error means that nobody waits for it
}

// describeMyself returns the documents. They are made when there are none, or none with the present schemas.
func (a *api) describeMyself() (openapi, asyncapi served, err error) {
	var schemas []Schema
	if a.Schemas != nil {
		schemas = a.Schemas()
	}
	d := &a.documents
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.openapi.body == nil || !slices.EqualFunc(d.schemas, schemas, func(a, b Schema) bool { return a.equal(&b) }) {
		if err := d.fill(a.filling(schemas)); err != nil {
			return served{}, served{}, err
		}
		d.schemas = schemas
	}
	return d.openapi, d.asyncapi, nil
}

func (d *documents) fill(f *filling) error {
	openapi, err := f.fill(openapiSource)
	if err != nil {
		return fmt.Errorf("openapi.json: %w", err)
	}
	if f.shared, err = componentSchemas(openapi); err != nil {
		return fmt.Errorf("openapi.json: %w", err)
	}
	asyncapi, err := f.fill(asyncapiSource)
	if err != nil {
		return fmt.Errorf("asyncapi.json: %w", err)
	}
	d.openapi, d.asyncapi = serve(openapi), serve(asyncapi)
	return nil
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
