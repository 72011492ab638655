// Package schema checks the data of events and entities against JSON Schemas (2020-12) that lie in one folder. It says
// which schema is for what, what is wrong with a value, and what is wrong with a schema before it is used; when a value
// is checked, and what becomes of it, is for its callers to say. Nothing is ever fetched.
package schema

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/roxyhub/roxy"
)

// Draft is the one dialect that is read; a file without $schema is taken for it.
const Draft = "https://json-schema.org/draft/2020-12/schema"

// base is what the files are called among themselves; it leads nowhere.
const base = "roxy:///"

// Set holds the schemas of one folder. It never changes and is safe for concurrent use. A nil *Set holds none and allows
// everything.
type Set struct {
	files    []File
	types    []Type
	events   map[string]*Schema
	entities []entity // the most specific first
}

// File is one file of the folder.
type File struct {
	Name   string   // order.json
	Topic  string   // its x-topic; "" for none
	Events []string // its x-event
	Type   string   // what its type is called in TypeScript
}

type entity struct {
	pattern roxy.Pattern
	schema  *Schema
}

// Load returns the schemas of all *.json files in dir, without its subfolders, or all that is wrong with them, joined,
// each error with its file and the place in it.
func Load(dir string) (*Set, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("%w: name a folder of *.json files", err)
	}
	files := make(map[string][]byte)
	var errs []error
	for _, e := range entries {
		if filepath.Ext(e.Name()) != ".json" {
			continue
		}
		file := filepath.Join(dir, e.Name())
		// A mounted folder may hold links; what they lead to counts.
		if info, err := os.Stat(file); err == nil && info.IsDir() {
			continue
		}
		text, err := os.ReadFile(file)
		if errors.Is(err, fs.ErrNotExist) && e.Type()&fs.ModeSymlink == 0 {
			continue // it went while we looked
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", e.Name(), err))
			continue
		}
		files[e.Name()] = text
	}
	return compile(files, errs)
}

// Compile is Load for files that are in memory, by their names.
func Compile(files map[string][]byte) (*Set, error) { return compile(files, nil) }

func compile(files map[string][]byte, errs []error) (*Set, error) {
	l := &loader{documents: make(map[string]map[string]any), errs: errs}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		l.read(name, files[name])
	}
	for _, name := range l.names() {
		l.references(name)
	}
	if len(l.errs) == 0 {
		l.endless()
	}
	set := &Set{events: make(map[string]*Schema), files: make([]File, 0, len(files))}
	for _, name := range l.names() {
		set.files = append(set.files, l.purpose(name))
	}
	l.once(set.files)
	set.types = l.types(set.files)
	if len(l.errs) == 0 { // what follows would only repeat them
		l.compile(set)
	}
	if len(l.errs) > 0 {
		return nil, errors.Join(l.errs...)
	}
	return set, nil
}

// loader turns files into a Set and collects what is wrong with them.
type loader struct {
	documents map[string]map[string]any // by file name
	targets   map[target]bool           // of $ref
	errs      []error
}

func (l *loader) names() []string { return slices.Sorted(maps.Keys(l.documents)) }

// fail tells of pointer, a place in the file.
func (l *loader) fail(file, pointer, format string, args ...any) {
	place := file
	if pointer != "" {
		place += "#" + pointer
	}
	l.errs = append(l.errs, fmt.Errorf("%s: %s", place, fmt.Sprintf(format, args...)))
}

// read parses one file.
func (l *loader) read(name string, text []byte) {
	if strings.ContainsFunc(name, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("._-", r)
	}) {
		l.fail(name, "", "a file's name may hold only A-Z a-z 0-9 . _ -, so that $ref can spell it: rename it")
		return
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		l.fail(name, "", "not JSON: %v", err)
		return
	}
	document, ok := value.(map[string]any)
	if !ok {
		l.fail(name, "", "want one object, a JSON Schema such as {\"x-event\": \"order:new\", \"type\": \"object\"}")
		return
	}
	l.documents[name] = document
}

// purpose reads what a file's schema is for.
func (l *loader) purpose(name string) File {
	f, document := File{Name: name}, l.documents[name]
	if topic, ok := document["x-topic"]; ok {
		f.Topic, _ = topic.(string)
		p, err := roxy.ParsePattern(f.Topic)
		switch {
		case f.Topic == "":
			l.fail(name, "/x-topic", "want one pattern of topics, such as \"orders/*\"")
		case err != nil:
			l.fail(name, "/x-topic", "%v", err)
		case f.Topic == "roxy" || strings.HasPrefix(f.Topic, "roxy/"):
			l.fail(name, "/x-topic", "%q: roxy/ is reserved for the hub: choose another topic", p)
		}
	}
	switch events := document["x-event"].(type) {
	case nil:
		if _, ok := document["x-event"]; ok {
			l.fail(name, "/x-event", "want an event type or a list of them, not null")
		}
	case []any:
		if len(events) == 0 {
			l.fail(name, "/x-event", "an empty list: name an event type, or remove the key")
		}
		for i, e := range events {
			f.Events = l.event(f.Events, name, fmt.Sprintf("/x-event/%d", i), e)
		}
	default:
		f.Events = l.event(nil, name, "/x-event", events)
	}
	if f.Topic != "" && f.Events != nil {
		l.fail(name, "", "x-topic is for entities and x-event for events: put what both share into a third file, and $ref it from one file each")
	}
	return f
}

func (l *loader) event(to []string, file, pointer string, value any) []string {
	name, ok := value.(string)
	if !ok {
		l.fail(file, pointer, "want the type of an event, such as \"order:new\"")
		return to
	}
	switch err := roxy.CheckName(name); {
	case err != nil:
		l.fail(file, pointer, "%v", err)
	case strings.HasPrefix(name, "roxy:"):
		l.fail(file, pointer, "%q: types that begin with roxy: are the hub's: choose another", name)
	}
	return append(to, name)
}

// once sees to it that nothing has two schemas.
func (l *loader) once(files []File) {
	topics, events := make(map[string]string), make(map[string]string)
	for _, f := range files {
		if first := topics[f.Topic]; f.Topic != "" && first != "" {
			l.fail(f.Name, "/x-topic", "%s is %q already: one pattern has one schema", first, f.Topic)
		}
		topics[f.Topic] = cmp.Or(topics[f.Topic], f.Name)
		for _, e := range f.Events {
			if first := events[e]; first != "" {
				l.fail(f.Name, "/x-event", "%s is for %q already: one type has one schema", first, e)
			}
			events[e] = cmp.Or(events[e], f.Name)
		}
	}
}

// nothing is the loader that the compiler asks for what is in no file.
type nothing struct{}

// Load refuses.
func (nothing) Load(url string) (any, error) { return nil, fmt.Errorf("%s is never fetched", url) }

func (l *loader) compile(set *Set) {
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.AssertFormat()
	c.UseLoader(nothing{})
	for _, name := range l.names() {
		if err := c.AddResource(base+name, l.documents[name]); err != nil {
			l.fail(name, "", "%v", err)
		}
	}
	for _, f := range set.files {
		compiled, err := c.Compile(base + f.Name)
		if err != nil {
			l.refused(f.Name, err)
			continue
		}
		s := &Schema{file: f.Name, compiled: compiled}
		for _, e := range f.Events {
			set.events[e] = s
		}
		if f.Topic != "" {
			if p, err := roxy.ParsePattern(f.Topic); err == nil { // it was checked
				set.entities = append(set.entities, entity{p, s})
			}
		}
	}
	slices.SortFunc(set.entities, func(a, b entity) int { return moreSpecific(a.pattern, b.pattern) })
}

// refused tells of a schema that is none, in terms of its file.
func (l *loader) refused(file string, err error) {
	var invalid *jsonschema.SchemaValidationError
	var wrong *jsonschema.ValidationError
	if !errors.As(err, &invalid) || !errors.As(invalid.Err, &wrong) {
		l.fail(file, "", "no JSON Schema: %s", strings.ReplaceAll(err.Error(), base, ""))
		return
	}
	// A file is compiled with those it refers to; whose fault it is stands in the URL.
	name, _, _ := strings.Cut(strings.TrimPrefix(invalid.URL, base), "#")
	seen := make(map[Violation]bool)
	for _, v := range leaves(wrong, nil) {
		if seen[v] {
			continue // each dialect of the vocabulary says it again
		}
		seen[v] = true
		if text := fmt.Errorf("%s#%s: no JSON Schema: %s", name, v.Pointer, v.Message); !slices.ContainsFunc(l.errs, func(e error) bool { return e.Error() == text.Error() }) {
			l.errs = append(l.errs, text)
		}
	}
}

// Files returns the files by name.
func (s *Set) Files() []File {
	if s == nil {
		return nil
	}
	return slices.Clone(s.files)
}

// Event returns the schema for the data of events of this type; nil for none.
func (s *Set) Event(eventType string) *Schema {
	if s == nil {
		return nil
	}
	return s.events[eventType]
}

// Entity returns the schema of the entity at topic, nil for none. Of several patterns that match, the most specific
// counts: read from the left, the first segment in which two differ decides, a name before *, and * before **. So
// orders/7 goes before orders/*, that before orders/**, and all of them before */7.
func (s *Set) Entity(topic roxy.Topic) *Schema {
	if s == nil {
		return nil
	}
	for _, e := range s.entities {
		if e.pattern.Matches(topic) {
			return e.schema
		}
	}
	return nil
}

// moreSpecific orders patterns, the most specific first.
func moreSpecific(a, b roxy.Pattern) int {
	as, bs := strings.Split(a.String(), "/"), strings.Split(b.String(), "/")
	for i := range min(len(as), len(bs)) {
		if c := cmp.Compare(rank(as[i]), rank(bs[i])); c != 0 {
			return c
		}
	}
	// Where one ends and the other goes on, only ** can match what the shorter one does.
	return cmp.Or(cmp.Compare(len(as), len(bs)), strings.Compare(a.String(), b.String()))
}

func rank(segment string) int {
	switch segment {
	case "*":
		return 1
	case "**":
		return 2
	}
	return 0
}
