// Package archtest holds who may import whom, as a test. The arrows of the house point inwards: roxy ← engine, auth,
// limit, fanout ← hub ← transport, httpapi, admin ← cmd. Every package is a row of the table, so that a new room, a new
// arrow and a new library are decisions that somebody reads.
package archtest

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/roxyhub/roxy"

// room is what one package may import, outside its tests: of ours by folder, "." for the root package, and of others by
// the module or by the package. The standard library is everybody's.
type room struct {
	ours    string
	library string
	because string
}

// rooms has a row for each package. A last /* stands for every folder directly below.
func rooms() map[string]room {
	return map[string]room{
		".": {"", "", "the language of the domain is everybody's and leans on nobody"},

		"engine":            {".", "", "the contract knows what is stored, not who stores it"},
		"engine/enginetest": {". engine", "pgregory.net/rapid", "the contract's suite runs against every engine and knows none"},
		"engine/*":          {". engine internal/measure", "github.com/cockroachdb/pebble/v2", "an engine is its contract and one library"},

		"auth":  {".", "github.com/golang-jwt/jwt/v5 github.com/MicahParks/keyfunc/v3 github.com/MicahParks/jwkset", "who is asking is settled before there is a hub"},
		"limit": {".", "golang.org/x/time/rate", "how much is too much is settled before there is a hub"},

		"internal/measure": {"", "", "a leaf: hot paths count without knowing who reads the counts"},
		"internal/fanout":  {"", "", "the fan-out sees bytes and never an event"},
		"hub":              {". engine internal/fanout internal/measure", "", "the core: it is told who asks, and counts in atomics; no metrics library, no engine by name"},

		"transport":   {". hub", "", "what transports share: the parameters of a subscription"},
		"transport/*": {". hub transport", "", "a transport is its contract and the framing of bytes"},

		"httpapi": {". auth limit hub transport transport/*", "github.com/go-json-experiment/json github.com/cloudevents/sdk-go/v2 github.com/rs/cors", "the public listener joins those who decide; it decides nothing"},
		"admin":   {". auth hub httpapi internal/measure", "github.com/go-json-experiment/json", "the operator's listener; of httpapi it uses Write alone: errors become problems in one place"},

		"client": {".", "github.com/go-json-experiment/json", "it runs in other people's programs and brings neither hub nor engine"},

		"internal/config":    {". auth", "github.com/goccy/go-yaml", "what the file says, in the domain's words; cmd hands it on"},
		"internal/telemetry": {". auth limit hub engine/disk internal/measure", "github.com/prometheus/client_golang", "the only place that knows Prometheus"},
		"cmd/roxy":           {". auth limit hub engine/* httpapi admin client internal/config internal/telemetry", "github.com/spf13/cobra", "the wiring: it names the parts that nobody else may name"},

		"internal/archtest": {"", "", "this table"},
		"internal/testkit":  {". auth client internal/config", "", "starts the built program as its users do"},
		"test/e2e":          {"", "", "tests alone, of the built program"},
		"bench/replay":      {"", "", "measures a hub from outside, as any client would"},

		"examples/bar":   {". auth client", "github.com/go-json-experiment/json", "what an embedder could write: public packages alone"},
		"examples/bar/*": {". examples/bar", "github.com/go-json-experiment/json", "programs of the example"},
	}
}

func TestEveryImportIsAllowedByTheTable(t *testing.T) {
	used := map[string]bool{}
	for folder, imports := range packages(t) {
		row, allowed, ok := find(folder)
		if !ok {
			t.Errorf("%s is no row of the table: decide what it may import and why", folder)
			continue
		}
		used[row] = true
		for _, imported := range imports {
			if may(allowed, imported) {
				continue
			}
			t.Errorf("%s imports %s; it may import of ours %q, of others %q: %s", folder, imported, allowed.ours, allowed.library, allowed.because)
		}
	}
	for row := range rooms() {
		if !used[row] {
			t.Errorf("the row %s stands for no package", row)
		}
	}
}

func TestTheTableRefusesWhatItDoesNotName(t *testing.T) {
	for _, tt := range []struct {
		folder, imported string
		want             bool
	}{
		{"hub", "fmt", true},
		{"hub", module, true},
		{"hub", module + "/engine", true},
		{"hub", module + "/engine/disk", false},
		{"hub", "github.com/prometheus/client_golang/prometheus", false},
		{".", module + "/hub", false},
		{"transport/ws", module + "/transport", true},
		{"transport/ws", module + "/transport/sse", false},
		{"httpapi", module + "/transport/ws", true},
		{"auth", "github.com/golang-jwt/jwt/v5", true},
		{"auth", "github.com/golang-jwt/jwt/v5/request", true},
		{"auth", "github.com/golang-jwt/jwt/v55", false},
	} {
		_, row, ok := find(tt.folder)
		if got := ok && may(row, tt.imported); got != tt.want {
			t.Errorf("%s imports %s: allowed %t, want %t", tt.folder, tt.imported, got, tt.want)
		}
	}
	for _, folder := range []string{"util", "hub/inner", "engine/disk/inner"} {
		if row, _, ok := find(folder); ok {
			t.Errorf("%s is held to the row %s", folder, row)
		}
	}
}

// find returns the row that folder is held to: its own, or that of all folders beside it.
func find(folder string) (string, room, bool) {
	for _, row := range []string{folder, path.Dir(folder) + "/*"} {
		if r, ok := rooms()[row]; ok {
			return row, r, true
		}
	}
	return "", room{}, false
}

func may(r room, imported string) bool {
	if isOurs(imported) {
		folder := folderOf(imported)
		return slices.ContainsFunc(strings.Fields(r.ours), func(pattern string) bool {
			ok, err := path.Match(pattern, folder)
			return ok && err == nil
		})
	}
	if first, _, _ := strings.Cut(imported, "/"); !strings.Contains(first, ".") {
		return true // the standard library
	}
	return slices.ContainsFunc(strings.Fields(r.library), func(library string) bool {
		return imported == library || strings.HasPrefix(imported, library+"/")
	})
}

func isOurs(imported string) bool {
	return imported == module || strings.HasPrefix(imported, module+"/")
}

// folderOf returns the folder of one of our packages, "." for the root.
func folderOf(imported string) string {
	return path.Clean("./" + strings.TrimPrefix(imported, module))
}

// packages returns what each of our folders with Go code imports outside its tests, whatever the build tags. It reads the
// files itself and does not ask go list, so that the test cache notices when one changes.
func packages(t *testing.T) map[string][]string {
	t.Helper()
	const root = "../.."
	all := make(map[string][]string)
	err := filepath.WalkDir(root, func(file string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			return enter(file, entry.Name())
		}
		if !strings.HasSuffix(file, ".go") {
			return nil
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		folder, err := filepath.Rel(root, filepath.Dir(file))
		if err != nil {
			return err
		}
		folder = filepath.ToSlash(folder)
		imports := all[folder]
		if !strings.HasSuffix(file, "_test.go") {
			for _, spec := range parsed.Imports {
				imports = append(imports, strings.Trim(spec.Path.Value, `"`))
			}
		}
		slices.Sort(imports)
		all[folder] = slices.Compact(imports)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// enter returns fs.SkipDir for what the go command does not take for a package of this module either.
func enter(folder, name string) error {
	if name == "testdata" || name == "node_modules" || strings.HasPrefix(name, "_") || (strings.HasPrefix(name, ".") && name != "..") {
		return fs.SkipDir
	}
	if _, err := os.Stat(filepath.Join(folder, "go.mod")); err == nil && name != ".." {
		return fs.SkipDir
	}
	return nil
}
