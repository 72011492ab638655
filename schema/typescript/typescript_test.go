package typescript_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/roxyhub/roxy/schema"
	"github.com/roxyhub/roxy/schema/typescript"
)

func generate(t *testing.T, dir string) []byte {
	t.Helper()
	set, err := schema.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	return typescript.Generate(set)
}

// The golden file has a type of each kind. make golden writes it anew.
func TestGenerateWritesWhatTheGoldenFileHolds(t *testing.T) {
	const golden = "testdata/everything.ts"
	got := generate(t, "testdata/everything")
	if os.Getenv("ROXY_UPDATE_GOLDEN") != "" {
		if err := os.WriteFile(golden, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("not as %s:\n%s", golden, got)
	}
	for range 20 {
		if !bytes.Equal(generate(t, "testdata/everything"), got) {
			t.Fatal("the same schemas, other bytes")
		}
	}
}

func TestNoSchemasGiveNoTypes(t *testing.T) {
	for _, got := range []string{string(generate(t, t.TempDir())), string(typescript.Generate(nil))} {
		if !strings.Contains(got, "export interface RoxyEvents {\n}") || strings.Count(got, "export") != 2 {
			t.Errorf("%s", got)
		}
	}
}

// What is written compiles, is used as one would expect, and a mistake in its use is an error of the compiler: each line
// of testdata/use.ts that is to be refused says so with @ts-expect-error, which is itself refused where nothing is wrong.
func TestTheCompilerTakesTheTypesAndRefusesMisuse(t *testing.T) {
	dir := t.TempDir()
	use, err := os.ReadFile("testdata/use.ts")
	if err != nil {
		t.Fatal(err)
	}
	misspelt := bytes.Replace(use, []byte("// @ts-expect-error misspelt\n"), nil, 1)
	files := map[string][]byte{"misspelt.ts": misspelt, "roxy.ts": generate(t, "testdata/everything"), "use.ts": use, "package.json": []byte(`{"type":"module"}`)}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// One run, because the compiler takes its time: the only error is that of the copy that does not expect it.
	out, err := compile(t, dir)
	if lines := strings.Split(strings.TrimSpace(out), "\n"); err == nil || !strings.HasPrefix(lines[0], "misspelt.ts(") ||
		!strings.Contains(lines[0], "'tabel' does not exist in type") || strings.Count(out, "error TS") != 1 {
		t.Errorf("%v, want the misspelt member and nothing else:\n%s", err, out)
	}
}

// compile runs the compiler that test/typescript pins.
func compile(t *testing.T, dir string) (string, error) {
	t.Helper()
	compiler, err := filepath.Abs("../../test/typescript/node_modules/typescript/bin/tsc")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(compiler); err != nil {
		t.Fatalf("%v: run test/install.sh, as make test does", err)
	}
	cmd := exec.CommandContext(t.Context(), "node", compiler, "--noEmit", "--strict", "--exactOptionalPropertyTypes", "--noUncheckedIndexedAccess",
		"--verbatimModuleSyntax", "--module", "nodenext", "--target", "es2022", "use.ts", "misspelt.ts") //nolint:gosec // a compiler of our own
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	return string(out), err
}
