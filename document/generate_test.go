package document_test

import (
	"bytes"
	"encoding/json"
	"slices"

	"pgregory.net/rapid"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/document"
)

// names are those of generated members: few, so that paths meet them.
var names = []string{"a", "b", "c", "é", `say "x"`, "tab\tline\n", "a!", "*", "a.b", "\u2028"}

// values generates anything a member can be, null included.
func values(depth int) *rapid.Generator[any] {
	scalar := rapid.OneOf(
		rapid.SampledFrom([]any{nil, true, false, "", "text", "é\"\\\n", json.Number("1"), json.Number("1.0"), json.Number("1e400"), json.Number("-0"), json.Number("12345678901234567890")}),
		rapid.Map(rapid.String(), func(s string) any { return s }),
	)
	if depth == 0 {
		return scalar
	}
	return rapid.Custom(func(t *rapid.T) any {
		switch rapid.IntRange(0, 5).Draw(t, "kind") {
		case 0, 1, 2:
			return objects(depth-1).Draw(t, "object")
		case 3:
			return rapid.SliceOfN(values(depth-1), 0, 3).Draw(t, "array")
		}
		return scalar.Draw(t, "scalar")
	})
}

func objects(depth int) *rapid.Generator[map[string]any] {
	return rapid.MapOfN(rapid.SampledFrom(names), values(depth), 0, 5)
}

// bytesOf returns the canonical document of a generated object.
func bytesOf(t fataler, object any) []byte {
	raw, err := json.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := document.Document(raw)
	if err != nil {
		t.Fatalf("%s: %v", raw, err)
	}
	return doc
}

func decode(t fataler, doc []byte) (object any) {
	d := json.NewDecoder(bytes.NewReader(doc))
	d.UseNumber()
	if err := d.Decode(&object); err != nil {
		t.Fatalf("%s: %v", doc, err)
	}
	return object
}

// related returns two documents, the second often the first with changes: at random, or a member here and there.
func related(t *rapid.T) (was, now []byte) {
	was = bytesOf(t, objects(3).Draw(t, "was"))
	switch rapid.IntRange(0, 3).Draw(t, "relation") {
	case 0:
		return was, bytesOf(t, objects(3).Draw(t, "now"))
	case 1:
		return was, document.Merge(was, bytesOf(t, objects(3).Draw(t, "merged")))
	}
	return was, bytesOf(t, edit(t, decode(t, was)))
}

// edit drops, replaces and adds few members.
func edit(t *rapid.T, value any) any {
	object, ok := value.(map[string]any)
	if !ok {
		return value
	}
	for _, name := range names {
		member, has := object[name]
		switch what := rapid.IntRange(0, 9).Draw(t, "edit"); {
		case has && what < 2:
			delete(object, name)
		case has && what == 2, !has && what == 0:
			object[name] = values(1).Draw(t, "new")
		case has:
			object[name] = edit(t, member)
		}
	}
	return object
}

func paths() *rapid.Generator[[]roxy.FieldPath] {
	name := rapid.SampledFrom([]string{"a", "a", "b", "b", "c", "é", "*"})
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) roxy.FieldPath {
		path := name.Draw(t, "name")
		for range rapid.IntRange(0, 2).Draw(t, "more") {
			path += "." + name.Draw(t, "name")
		}
		return parse(t, path)
	}), 0, 4)
}

func parse(t fataler, path string) roxy.FieldPath {
	p, err := roxy.ParseFieldPath(path)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func parseAll(t fataler, all ...string) (parsed []roxy.FieldPath) {
	for _, path := range all {
		parsed = append(parsed, parse(t, path))
	}
	return parsed
}

// some returns a subset.
func some(t *rapid.T, of []roxy.FieldPath) (subset []roxy.FieldPath) {
	for _, path := range of {
		if rapid.Bool().Draw(t, path.String()) {
			subset = append(subset, path)
		}
	}
	return subset
}

// stands says how a place stands to paths: the slow and obvious way.
func stands(place []string, all []roxy.FieldPath) (hidden, onTheWay bool) {
	for _, path := range all {
		fits := true
		for i, name := range path.Names() {
			if i < len(place) && name != "*" && name != place[i] {
				fits = false
			}
		}
		if fits && len(path.Names()) <= len(place) {
			hidden = true
		}
		onTheWay = onTheWay || fits && len(path.Names()) > len(place)
	}
	return hidden, onTheWay && !hidden
}

// extract returns what paths hide of a value, at its places, and nothing else.
func extract(value any, place []string, all []roxy.FieldPath) any {
	switch v := value.(type) {
	case map[string]any:
		left := make(map[string]any)
		for name, member := range v {
			at := append(slices.Clip(place), name)
			if hidden, onTheWay := stands(at, all); hidden {
				left[name] = member
			} else if onTheWay {
				if inside := extract(member, at, all); inside != nil {
					left[name] = inside
				}
			}
		}
		if len(left) > 0 {
			return left
		}
	case []any:
		left, some := make([]any, len(v)), false
		for i, element := range v {
			left[i] = extract(element, place, all)
			some = some || left[i] != nil
		}
		if some {
			return left
		}
	}
	return nil
}

// redact is the view the slow and obvious way; shown is whether anything of an object is.
func redact(value any, place []string, all []roxy.FieldPath) (left any, shown bool) {
	switch v := value.(type) {
	case map[string]any:
		object := make(map[string]any)
		for name, member := range v {
			at := append(slices.Clip(place), name)
			hidden, onTheWay := stands(at, all)
			switch {
			case hidden:
			case !onTheWay:
				object[name] = member
			default:
				if inside, some := redact(member, at, all); some {
					object[name] = inside
				}
			}
		}
		return object, len(object) > 0
	case []any:
		array := make([]any, len(v))
		for i, element := range v {
			array[i], _ = redact(element, place, all)
		}
		return array, true
	}
	return value, true
}

// scramble changes what is hidden at random, and whether there are objects around it that show nothing.
func scramble(t *rapid.T, value any, place []string, all []roxy.FieldPath) any {
	switch v := value.(type) {
	case map[string]any:
		for _, name := range names {
			at := append(slices.Clip(place), name)
			hidden, onTheWay := stands(at, all)
			member, has := v[name]
			switch {
			case !hidden && !onTheWay:
			case hidden:
				delete(v, name)
				if rapid.Bool().Draw(t, "put") {
					v[name] = values(1).Draw(t, "hidden")
				}
			case !has:
				if rapid.Bool().Draw(t, "around") {
					v[name] = scramble(t, map[string]any{}, at, all)
				}
			default:
				v[name] = scramble(t, member, at, all)
				if _, some := redact(v[name], at, all); !some && rapid.Bool().Draw(t, "drop") {
					delete(v, name)
				}
			}
		}
	case []any:
		for i := range v {
			v[i] = scramble(t, v[i], place, all)
		}
	}
	return value
}

func encode(t fataler, value any) []byte {
	raw, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// fataler is what tests, fuzz targets, benchmarks and rapid have in common.
type fataler interface {
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}
