package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/auth"
	"github.com/roxyhub/roxy/schema"
	"github.com/roxyhub/roxy/webhook"
)

// Sources are where a configuration comes from; what comes later wins.
type Sources struct {
	File  string                           // "" for none
	Env   func(name string) (string, bool) // as os.LookupEnv; nil for none
	Flags map[string]string                // by KeyInfo.Flag, those that were given
}

// Loaded is a configuration that was checked, with its keys read.
type Loaded struct {
	*Config
	Keys     []auth.Key
	Coalesce []Coalesce
	Fields   []FieldRule // by pattern, then by path
	Schemas  *schema.Set // of the folder Config.Schemas; nil for none
	Warnings []string    // what works but should be mended

	WebhookSecret webhook.Secret // when Config.Webhook has a URL
}

// Coalesce is how long the events of some topics may wait for others.
type Coalesce struct {
	Pattern roxy.Pattern
	Wait    time.Duration
}

// FieldRule is one field of the entities of some topics, and who may see it.
type FieldRule struct {
	Pattern roxy.Pattern
	Path    roxy.FieldPath
	Roles   []string
}

// Load returns the checked configuration of the sources over the defaults, or all that is wrong with it, joined, each
// error with its place and key.
func Load(from Sources) (*Loaded, error) {
	c := Default()
	var errs []error
	seen := make(map[string]string)
	root := reflect.ValueOf(c).Elem()
	if from.File != "" {
		text, err := os.ReadFile(from.File)
		if err != nil {
			return nil, fmt.Errorf("config: %w", err)
		}
		s := &source{name: filepath.Base(from.File), lines: true, dir: filepath.Dir(from.File), errs: &errs, seen: seen}
		s.document(text, root)
	}
	for _, k := range Keys() {
		if from.Env != nil {
			if text, ok := from.Env(k.Env); ok {
				s := &source{name: k.Env, errs: &errs, seen: seen}
				s.text(text, k.Key, root.FieldByIndex(k.index))
			}
		}
		if text, ok := from.Flags[k.Flag]; ok {
			s := &source{name: "--" + k.Flag, errs: &errs, seen: seen}
			s.text(text, k.Key, root.FieldByIndex(k.index))
		}
	}
	loaded := &Loaded{Config: c}
	if len(errs) == 0 { // what follows would only repeat them
		check := &checker{loaded: loaded, seen: seen, errs: &errs}
		check.all()
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return loaded, nil
}

// document assigns a whole YAML file.
func (s *source) document(text []byte, v reflect.Value) {
	n, ok := s.parse(text, s.name)
	if ok && n != nil {
		s.assign(n, "", v)
	}
}

// text assigns one key from an environment variable or a flag: a value as it is, a list with commas, or YAML.
func (s *source) text(text, key string, v reflect.Value) {
	s.seen[key] = s.name
	if v.Kind() == reflect.Slice && !strings.HasPrefix(strings.TrimSpace(text), "[") && v.Type().Elem() != reflect.TypeFor[Key]() {
		s.list(text, key, v)
		return
	}
	if v.Kind() != reflect.Slice && v.Kind() != reflect.Map {
		if err := s.setText(v, text); err != nil {
			s.fail(nil, key, "%v", err)
		}
		return
	}
	if n, ok := s.parse([]byte(text), key); ok && n != nil {
		s.assign(n, key, v)
	}
}

func (s *source) list(text, key string, v reflect.Value) {
	out := reflect.MakeSlice(v.Type(), 0, 4)
	for word := range strings.SplitSeq(text, ",") {
		if word = strings.TrimSpace(word); word == "" {
			continue
		}
		element := reflect.New(v.Type().Elem()).Elem()
		if err := s.setText(element, word); err != nil {
			s.fail(nil, key, "%v", err)
		}
		out = reflect.Append(out, element)
	}
	v.Set(out)
}

// position finds the line in an error of the YAML parser.
var position = regexp.MustCompile(`^\[(\d+):\d+\] (.*)`)

// parse returns the one document in text; nil for none. It reports what is wrong itself.
func (s *source) parse(text []byte, what string) (ast.Node, bool) {
	file, err := parser.ParseBytes(text, 0)
	if err != nil {
		// Behind its first line the parser quotes the text around the error, which may be a secret.
		message, _, _ := strings.Cut(strings.TrimSpace(err.Error()), "\n")
		place := s.name
		if m := position.FindStringSubmatch(message); m != nil {
			message = m[2]
			if line, err := strconv.Atoi(m[1]); err == nil && s.lines {
				place = fmt.Sprintf("%s:%d", s.name, line)
			}
		}
		*s.errs = append(*s.errs, fmt.Errorf("%s: not YAML: %s", place, message))
		return nil, false
	}
	var body ast.Node
	for _, d := range file.Docs {
		if d.Body == nil || d.Body.Type() == ast.CommentType {
			continue
		}
		if body != nil {
			s.fail(d.Body, what, "a second document: write one")
			return nil, false
		}
		body = d.Body
	}
	return body, true
}
