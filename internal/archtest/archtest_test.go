package archtest

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/roxyhub/roxy"

// pkg is what go list tells of a package.
type pkg struct {
	ImportPath                         string
	Imports, TestImports, XTestImports []string
}

// name is the package's row in rooms.
func (p pkg) name() string { return strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, module), "/") }

// tests returns what its tests import.
func (p pkg) tests() []string { return append(slices.Clone(p.TestImports), p.XTestImports...) }

func packages(t *testing.T) []pkg {
	t.Helper()
	lookAtSources(t)
	out, err := exec.CommandContext(t.Context(), "go", "list", "-C", "../..", "-json=ImportPath,Imports,TestImports,XTestImports", "./...").Output()
	if err != nil {
		if failed, ok := errors.AsType[*exec.ExitError](err); ok {
			t.Fatalf("go list: %v: %s", err, failed.Stderr)
		}
		t.Fatal(err)
	}
	var list []pkg
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return list
		} else if err != nil {
			t.Fatal(err)
		}
		list = append(list, p)
	}
}

// lookAtSources has go test's cache know that the outcome depends on every Go file: it does not see what go list reads.
func lookAtSources(t *testing.T) {
	t.Helper()
	err := filepath.WalkDir("../..", func(path string, _ fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".go") {
			_, err = os.Stat(path)
		}
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // an editor's file may come and go
		t.Fatal(err)
	}
}

func TestRoomsImportInwardsOnly(t *testing.T) {
	table := rooms()
	for _, p := range packages(t) {
		i := slices.IndexFunc(table, func(r room) bool { return r.path == p.name() })
		if i < 0 {
			t.Errorf("package %q has no row in rooms_test.go: say what it may import, and why", p.name())
			continue
		}
		r := table[i]
		check := func(imports, may []string, where string) {
			for _, path := range imports {
				of, ours := strings.CutPrefix(path, module)
				if of = strings.TrimPrefix(of, "/"); ours && of != p.name() && !slices.Contains(may, of) {
					t.Errorf("%q %s %q, which it may not: %s", p.name(), where, of, r.why)
				}
			}
		}
		check(p.Imports, r.may, "imports")
		check(p.tests(), slices.Concat(r.may, r.tests), "imports in its tests")
	}
}

func TestLibrariesStayInTheirRooms(t *testing.T) {
	table := libraries()
	for _, p := range packages(t) {
		check := func(imports []string, inTests bool) {
			for _, path := range imports {
				if strings.HasPrefix(path, module) {
					continue
				}
				i := slices.IndexFunc(table, func(l library) bool {
					return path == l.prefix || strings.HasPrefix(path, strings.TrimSuffix(l.prefix, "/")+"/")
				})
				switch {
				case i < 0 && strings.Contains(strings.SplitN(path, "/", 2)[0], "."):
					t.Errorf("%q imports %s, which has no row in libraries_test.go: say whose it is, and why", p.name(), path)
				case i < 0: // the standard library's
				case slices.Contains(table[i].rooms, p.name()), inTests && table[i].tests:
				default:
					t.Errorf("%q imports %s (in tests: %t), which it may not: %s", p.name(), path, inTests, table[i].why)
				}
			}
		}
		check(p.Imports, false)
		check(p.tests(), true)
	}
}

// The root is what everybody's program imports: it brings no library along.
func TestTheDomainIsStandardLibraryOnly(t *testing.T) {
	for _, p := range packages(t) {
		if p.name() != "" {
			continue
		}
		for _, path := range p.Imports {
			if strings.Contains(strings.SplitN(path, "/", 2)[0], ".") {
				t.Errorf("the root package imports %s", path)
			}
		}
	}
}

func TestTheTablesAreSound(t *testing.T) {
	exist := make(map[string]bool)
	for _, p := range packages(t) {
		exist[p.name()] = true
	}
	above := make(map[string]bool) // rooms of the rows so far
	for _, r := range rooms() {
		switch {
		case !exist[r.path]:
			t.Errorf("room %q has a row but no package", r.path)
		case above[r.path]:
			t.Errorf("room %q has two rows", r.path)
		case r.why == "":
			t.Errorf("room %q: no reason", r.path)
		}
		for _, of := range r.may {
			if !above[of] {
				t.Errorf("room %q may import %q, which is not further in", r.path, of)
			}
		}
		above[r.path] = true
	}
	for _, l := range libraries() {
		if l.why == "" {
			t.Errorf("library %s: no reason", l.prefix)
		}
		for _, name := range l.rooms {
			if !exist[name] {
				t.Errorf("library %s is for room %q, which does not exist", l.prefix, name)
			}
		}
	}
}
