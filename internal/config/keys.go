package config

import (
	"encoding"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"
	"unicode"
)

// KeyInfo is one key of the configuration, by its three names.
type KeyInfo struct {
	Key     string // admin.listen
	Env     string // ROXY_ADMIN_LISTEN
	Flag    string // admin-listen
	Doc     string
	Default string // as one would write it; "" for none

	index []int
}

// Keys returns every key, in the order of the file.
func Keys() []KeyInfo {
	return keysOf(reflect.ValueOf(Default()).Elem(), "", "", nil)
}

func keysOf(v reflect.Value, prefix, of string, index []int) []KeyInfo {
	var keys []KeyInfo
	for i := range v.NumField() {
		field := v.Type().Field(i)
		key := join(prefix, field.Tag.Get("yaml"))
		at := append(slices.Clip(index), i)
		if !field.IsExported() {
			continue
		}
		if _, ok := reflect.TypeAssert[encoding.TextUnmarshaler](v.Field(i).Addr()); !ok && field.Type.Kind() == reflect.Struct {
			keys = append(keys, keysOf(v.Field(i), key, field.Tag.Get("doc"), at)...)
			continue
		}
		dashed, doc := kebab(key), field.Tag.Get("doc")
		if of != "" {
			doc += " " + of
		}
		keys = append(keys, KeyInfo{
			Key: key, Flag: dashed, Env: "ROXY_" + strings.ToUpper(strings.ReplaceAll(dashed, "-", "_")),
			Doc: doc, Default: spell(v.Field(i)), index: at,
		})
	}
	return keys
}

// kebab turns limits.connections.perIP into limits-connections-per-ip.
func kebab(key string) string {
	var b strings.Builder
	lower := false
	for _, r := range key {
		switch {
		case r == '.':
			b.WriteByte('-')
			lower = false
		case unicode.IsUpper(r):
			if lower {
				b.WriteByte('-')
			}
			b.WriteRune(unicode.ToLower(r))
			lower = false
		default:
			b.WriteRune(r)
			lower = true
		}
	}
	return b.String()
}

// spell writes a default as the file would hold it.
func spell(v reflect.Value) string {
	switch x := v.Interface().(type) {
	case time.Duration:
		s := strings.TrimSuffix(x.String(), "m0s")
		if s != x.String() {
			s += "m"
		}
		return strings.TrimSuffix(s, "h0m") + map[bool]string{true: "h"}[strings.HasSuffix(s, "h0m")]
	case Secret:
		return "" // none has a default
	case fmt.Stringer:
		return x.String()
	}
	switch v.Kind() {
	case reflect.Slice:
		words := make([]string, v.Len())
		for i := range words {
			words[i] = spell(v.Index(i))
		}
		return "[" + strings.Join(words, ", ") + "]"
	case reflect.Map:
		return "{}"
	}
	return fmt.Sprint(v.Interface())
}
