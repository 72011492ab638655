package config

import (
	"encoding"
	"fmt"
	"maps"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"

	"github.com/roxyhub/roxy"
)

// source is where values come from: a file, an environment variable or a flag.
type source struct {
	name  string // before the line in an error
	lines bool   // whether lines tell anything
	dir   string // what paths are relative to
	errs  *[]error
	seen  map[string]string // key → place, for errors found later
}

func (s *source) place(n ast.Node) string {
	if !s.lines || n == nil || n.GetToken() == nil {
		return s.name
	}
	return fmt.Sprintf("%s:%d", s.name, n.GetToken().Position.Line)
}

func (s *source) fail(n ast.Node, key, format string, args ...any) {
	*s.errs = append(*s.errs, fmt.Errorf("%s: %s: %s", s.place(n), key, fmt.Sprintf(format, args...)))
}

// assign sets v, the value of key, from n.
func (s *source) assign(n ast.Node, key string, v reflect.Value) {
	if tag, ok := n.(*ast.TagNode); ok {
		n = tag.Value
	}
	if anchor, ok := n.(*ast.AnchorNode); ok {
		n = anchor.Value
	}
	s.seen[key] = s.place(n)
	switch n.(type) {
	case *ast.AliasNode, *ast.MergeKeyNode:
		s.fail(n, key, "anchors and aliases are not read: write the value out")
		return
	case *ast.NullNode:
		return // as if it were not there
	}
	if _, ok := reflect.TypeAssert[encoding.TextUnmarshaler](v.Addr()); ok || scalar(v) {
		s.assignScalar(n, key, v)
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		s.assignStruct(n, key, v)
	case reflect.Map:
		s.assignMap(n, key, v)
	case reflect.Slice:
		s.assignList(n, key, v)
	default:
		panic("BUG: no way to read a " + v.Type().String())
	}
}

func scalar(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.String, reflect.Bool, reflect.Int, reflect.Int64, reflect.Uint64, reflect.Float64:
		return true
	}
	return v.Type() == reflect.TypeFor[roxy.Pattern]()
}

// entries returns the members of a mapping; ok is false when n is none.
func (s *source) entries(n ast.Node, key string) (entries []*ast.MappingValueNode, ok bool) {
	switch n := n.(type) {
	case *ast.MappingNode:
		return n.Values, true
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{n}, true
	}
	s.fail(n, key, "want members such as {name: value}, got %s", kind(n))
	return nil, false
}

func (s *source) assignStruct(n ast.Node, key string, v reflect.Value) {
	entries, _ := s.entries(n, key)
	fields := fieldsOf(v)
	for _, e := range entries {
		name := e.Key.GetToken().Value
		at := join(key, name)
		field, ok := fields[name]
		if !ok {
			s.fail(e.Key, at, "unknown key%s", nearest(name, slices.Sorted(maps.Keys(fields))))
			continue
		}
		s.assign(e.Value, at, field)
	}
}

func (s *source) assignMap(n ast.Node, key string, v reflect.Value) {
	entries, ok := s.entries(n, key)
	if !ok {
		return
	}
	v.Set(reflect.MakeMap(v.Type()))
	for _, e := range entries {
		name := e.Key.GetToken().Value
		value := reflect.New(v.Type().Elem()).Elem()
		s.assign(e.Value, join(key, name), value)
		v.SetMapIndex(reflect.ValueOf(name), value)
	}
}

// assignList takes a list, or one value for a list of one.
func (s *source) assignList(n ast.Node, key string, v reflect.Value) {
	values := []ast.Node{n}
	if list, ok := n.(*ast.SequenceNode); ok {
		values = list.Values
	}
	out := reflect.MakeSlice(v.Type(), len(values), len(values))
	for i, value := range values {
		s.assign(value, fmt.Sprintf("%s[%d]", key, i), out.Index(i))
	}
	v.Set(out)
}

func (s *source) assignScalar(n ast.Node, key string, v reflect.Value) {
	value, ok := n.(ast.ScalarNode)
	if !ok {
		s.fail(n, key, "want one value, got %s", kind(n))
		return
	}
	text := value.GetToken().Value
	if literal, ok := n.(*ast.LiteralNode); ok {
		text = strings.TrimSpace(literal.Value.Value)
	}
	if err := s.setText(v, text); err != nil {
		s.fail(n, key, "%v", err)
	}
}

func (s *source) setText(v reflect.Value, text string) error {
	if u, ok := reflect.TypeAssert[encoding.TextUnmarshaler](v.Addr()); ok {
		return u.UnmarshalText([]byte(text))
	}
	switch p := v.Addr().Interface().(type) {
	case *roxy.Pattern:
		pattern, err := roxy.ParsePattern(text)
		*p = pattern
		return err
	case *time.Duration:
		d, err := time.ParseDuration(text)
		if err != nil || d < 0 {
			return fmt.Errorf("%q is no duration: write it as in 15s or 168h", text)
		}
		*p = d
	case *Path:
		*p = Path(text)
		if text != "" && !filepath.IsAbs(text) && s.dir != "" {
			*p = Path(filepath.Join(s.dir, text))
		}
	case *bool:
		b, err := strconv.ParseBool(text)
		if err != nil {
			return fmt.Errorf("%q is neither true nor false", text)
		}
		*p = b
	case *int:
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 {
			return fmt.Errorf("%q is no whole number from 0 on", text)
		}
		*p = n
	case *uint64:
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			return fmt.Errorf("%q is no whole number from 0 on", text)
		}
		*p = n
	case *float64:
		f, err := strconv.ParseFloat(text, 64)
		if err != nil || f < 0 || f != f || f > 1e12 {
			return fmt.Errorf("%q is no number from 0 on", text)
		}
		*p = f
	default:
		v.SetString(text)
	}
	return nil
}

// fieldsOf returns the fields of a struct by their names in the file.
func fieldsOf(v reflect.Value) map[string]reflect.Value {
	fields := make(map[string]reflect.Value)
	for i := range v.NumField() {
		fields[v.Type().Field(i).Tag.Get("yaml")] = v.Field(i)
	}
	return fields
}

func join(key, name string) string {
	if key == "" {
		return name
	}
	return key + "." + name
}

// kind says what n is without its text: what stands in a wrong place may be a secret.
func kind(n ast.Node) string {
	switch n.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		return "members"
	case *ast.SequenceNode:
		return "a list"
	}
	return "one value"
}
