package schema_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/schema"
)

// folder writes files to a folder of their own.
func folder(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func load(t *testing.T, files map[string]string) *schema.Set {
	t.Helper()
	set, err := schema.Load(folder(t, files))
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func topic(t *testing.T, name string) roxy.Topic {
	t.Helper()
	tp, err := roxy.ParseTopic(name)
	if err != nil {
		t.Fatal(err)
	}
	return tp
}

func TestLoadTellsTheFileThePlaceAndWhatToDo(t *testing.T) {
	for name, tt := range map[string]struct {
		files map[string]string
		want  []string // in the error, each
	}{
		"no JSON":              {map[string]string{"a.json": `{"x-topic":`}, []string{"a.json: not JSON"}},
		"no object":            {map[string]string{"a.json": `true`}, []string{"a.json: want one object"}},
		"another draft":        {map[string]string{"a.json": `{"$schema":"http://json-schema.org/draft-07/schema#"}`}, []string{"a.json#/$schema: only JSON Schema 2020-12", "leave $schema out"}},
		"a bad topic":          {map[string]string{"a.json": `{"x-topic":"orders//*"}`}, []string{"a.json#/x-topic: ", "segment 2: empty"}},
		"a topic of the hub":   {map[string]string{"a.json": `{"x-topic":"roxy/*"}`}, []string{"a.json#/x-topic: ", "reserved"}},
		"a topic that is none": {map[string]string{"a.json": `{"x-topic":7}`}, []string{"a.json#/x-topic: want one pattern"}},
		"an event of the hub":  {map[string]string{"a.json": `{"x-event":["a","roxy:hello"]}`}, []string{"a.json#/x-event/1: ", "are the hub's"}},
		"an empty event":       {map[string]string{"a.json": `{"x-event":""}`}, []string{"a.json#/x-event: empty"}},
		"no events":            {map[string]string{"a.json": `{"x-event":[]}`}, []string{"a.json#/x-event: an empty list"}},
		"a null event":         {map[string]string{"a.json": `{"x-event":null}`}, []string{"a.json#/x-event: want an event type"}},
		"topic and event":      {map[string]string{"a.json": `{"x-event":"a","x-topic":"a"}`}, []string{"a.json: x-topic is for entities and x-event for events"}},
		"one topic twice":      {map[string]string{"a.json": `{"x-topic":"a/*"}`, "b.json": `{"x-topic":"a/*"}`}, []string{`b.json#/x-topic: a.json is "a/*" already`}},
		"one event twice":      {map[string]string{"a.json": `{"x-event":"a"}`, "b.json": `{"x-event":["b","a"]}`}, []string{`b.json#/x-event: a.json is for "a" already`}},
		"a ref to no file":     {map[string]string{"a.json": `{"items":{"$ref":"money.json"}}`}, []string{`a.json#/items/$ref: "money.json" leads nowhere`}},
		"a ref to no place":    {map[string]string{"a.json": `{"$ref":"#/$defs/x"}`}, []string{`a.json#/$ref: "#/$defs/x" leads nowhere: a.json has no schema at /$defs/x`}},
		"a remote ref":         {map[string]string{"a.json": `{"$ref":"https://bar.example/money.json"}`}, []string{`a.json#/$ref: `, "nothing is ever fetched", "copy the schema"}},
		"a file URL":           {map[string]string{"a.json": `{"$ref":"file:///etc/passwd"}`}, []string{"nothing is ever fetched"}},
		"a path":               {map[string]string{"a.json": `{"$ref":"/etc/x.json"}`}, []string{"nothing is ever fetched"}},
		"a folder above":       {map[string]string{"a.json": `{"$ref":"../x.json"}`}, []string{"leads nowhere"}},
		"an anchor":            {map[string]string{"a.json": `{"$ref":"#x"}`}, []string{"anchors are not read"}},
		"a ref to itself":      {map[string]string{"a.json": `{"$ref":"#"}`}, []string{`a.json#/$ref: "#" comes back to itself`}},
		"a ref round about":    {map[string]string{"a.json": `{"anyOf":[true,{"$ref":"b.json"}]}`, "b.json": `{"not":{"$ref":"a.json"}}`}, []string{`b.json#/not/$ref: "a.json" comes back to itself`}},
		"an id":                {map[string]string{"a.json": `{"$id":"https://bar.example/"}`}, []string{"a.json#/$id: $id is not read"}},
		"a bad type":           {map[string]string{"a.json": `{"properties":{"n":{"type":"int"}}}`}, []string{"a.json#/properties/n/type: no JSON Schema"}},
		"a bad expression":     {map[string]string{"a.json": `{"pattern":"("}`}, []string{"a.json#/pattern: no JSON Schema"}},
		"one name twice":       {map[string]string{"a.json": `{"title":"An order"}`, "b.json": `{"title":"an Order"}`}, []string{"its type would be called AnOrder in TypeScript, as that of ", "another title"}},
		"a nameless title":     {map[string]string{"a.json": `{"title":"→"}`}, []string{"a.json#/title: want words"}},
		"a numeric file":       {map[string]string{"1.json": `{}`}, []string{"1.json: no TypeScript type can be called so"}},
		"a name in the way":    {map[string]string{"roxy-events.json": `{}`}, []string{"a type called RoxyEvents would be in the way"}},
		"a file with a space":  {map[string]string{"a b.json": `{}`}, []string{"a b.json: a file's name may hold only"}},
		"all of it":            {map[string]string{"a.json": `{"x-topic":"//"}`, "b.json": `{`, "c.json": `{"$ref":"d.json"}`}, []string{"a.json#/x-topic", "b.json: not JSON", "c.json#/$ref"}},
	} {
		t.Run(name, func(t *testing.T) {
			set, err := schema.Load(folder(t, tt.files))
			if err == nil {
				t.Fatalf("loaded %v", set.Files())
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("does not say %q:\n%v", want, err)
				}
			}
		})
	}
}

func TestLoadWantsAFolder(t *testing.T) {
	if _, err := schema.Load(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("a folder that does not exist was loaded")
	}
}

func TestLoadReadsJSONFilesOfTheFolderAlone(t *testing.T) {
	set := load(t, map[string]string{
		"order.json": `{"x-topic":"orders/*","$schema":"https://json-schema.org/draft/2020-12/schema"}`,
		"README.md":  "no JSON", "old/order.json": "no JSON", "data.json/x": "a folder that is called so",
	})
	if files := set.Files(); len(files) != 1 || files[0].Name != "order.json" || files[0].Type != "Order" {
		t.Errorf("%v", files)
	}
}

func TestANilSetAllowsEverything(t *testing.T) {
	var set *schema.Set
	if set.Event("a").Validate([]byte(`1`)) != nil || set.Entity(topic(t, "a")).ValidateView([]byte(`1`), nil) != nil || set.Files() != nil || set.Types() != nil {
		t.Error("it does not")
	}
}

func TestTheMostSpecificPatternCounts(t *testing.T) {
	set := load(t, map[string]string{
		"all.json":       `{"x-topic":"**"}`,
		"below.json":     `{"x-topic":"orders/**"}`,
		"orders.json":    `{"x-topic":"orders"}`,
		"each.json":      `{"x-topic":"orders/*"}`,
		"seventh.json":   `{"x-topic":"orders/7"}`,
		"any.json":       `{"x-topic":"*/7"}`,
		"lines.json":     `{"x-topic":"orders/*/lines"}`,
		"drafts.json":    `{"x-topic":"*/drafts/**"}`,
		"unrelated.json": `{"x-event":"order:new"}`,
	})
	for at, want := range map[string]string{
		"orders": "orders.json", "orders/7": "seventh.json", "orders/8": "each.json", "orders/8/lines": "lines.json",
		"orders/8/notes": "below.json", "tables/7": "any.json", "tables/8": "all.json", "tables": "all.json",
		"tables/drafts": "drafts.json", "orders/drafts": "each.json", "tables/drafts/1/2": "drafts.json",
	} {
		if s := set.Entity(topic(t, at)); s == nil || s.File() != want {
			t.Errorf("%s: %v, want %s", at, s, want)
		}
	}
	if set.Entity(topic(t, "roxy/audit")) != nil {
		t.Error("a topic of the hub has a schema")
	}
}

func TestOneFileMayBeForSeveralEvents(t *testing.T) {
	set := load(t, map[string]string{"a.json": `{"x-event":["b","a"],"type":"object"}`})
	if set.Event("a") == nil || set.Event("a") != set.Event("b") || set.Event("c") != nil {
		t.Error("it is not")
	}
}

// FuzzCompile: whatever a file holds, it compiles or is refused by its name, and what compiles can be used.
func FuzzCompile(f *testing.F) {
	f.Add([]byte(`{"x-topic":"orders/*","properties":{"a":{"$ref":"#/$defs/a"}},"$defs":{"a":{"$ref":"#"}}}`), []byte(`{"a":{"a":{}}}`))
	f.Add([]byte(`{"x-event":["a","b"],"oneOf":[{"pattern":"("},{"$ref":"money.json"}]}`), []byte(`7`))
	f.Add([]byte(`{"title":"x","minimum":1e400,"multipleOf":0.01,"unevaluatedProperties":false,"anyOf":[true,false]}`), []byte(`{"x":1e999}`))
	f.Add([]byte(`{"$ref":"#"}`), []byte(`[]`))
	f.Add([]byte(`{"$ref":"#/properties/a","properties":{"a":{"items":{"$ref":"#"}}}}`), []byte(`[[1e300]]`))
	f.Fuzz(func(t *testing.T, text, value []byte) {
		set, err := schema.Compile(map[string][]byte{"a.json": text, "money.json": []byte(`{"x-event":"probe","$ref":"a.json"}`)})
		if err != nil {
			if !strings.Contains(err.Error(), "a.json") && !strings.Contains(err.Error(), "money.json") {
				t.Errorf("names no file: %v", err)
			}
			return
		}
		if s := set.Event("probe"); s == nil {
			t.Error("lost a schema")
		} else if err := s.Validate(value); err != nil && err.Error() == "" {
			t.Error("an error without words")
		}
	})
}
