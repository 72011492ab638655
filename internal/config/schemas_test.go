package config

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestFieldRulesAreSortedByPatternThenPath(t *testing.T) {
	c, err := Load(Sources{File: "testdata/good.yaml", Flags: map[string]string{
		"policy-fields": `{"tables/*": {z: [manager]}, "orders/*": {margin: [manager], "lines.*.cost": [manager, supervisor]}}`,
	}})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range c.Fields {
		got = append(got, fmt.Sprint(f.Pattern, " ", f.Path, " ", f.Roles))
	}
	if want := "orders/* lines.*.cost [manager supervisor]\norders/* margin [manager]\ntables/* z [manager]"; strings.Join(got, "\n") != want {
		t.Errorf("%q", got)
	}
}

func TestMoreFieldsThanABoundAreRefused(t *testing.T) {
	var fields []string
	for i := range maxFieldRules + 1 {
		fields = append(fields, fmt.Sprintf("f%d: [manager]", i))
	}
	_, err := Load(Sources{File: "testdata/good.yaml", Flags: map[string]string{"policy-fields": `{"orders/*": {` + strings.Join(fields, ", ") + `}}`}})
	if err == nil || !strings.Contains(err.Error(), "--policy-fields: policy.fields: 257 fields, at most 256") {
		t.Error(err)
	}
}

func TestTheSchemasOfTheFolderAreLoaded(t *testing.T) {
	c, err := Load(Sources{File: "testdata/good.yaml"})
	if err != nil {
		t.Fatal(err)
	}
	if c.Schemas.Event("order:new") == nil || c.Schemas.Event("order:lost") != nil {
		t.Errorf("%v", c.Schemas.Files())
	}
	if c, err = Load(Sources{File: "testdata/good.yaml", Flags: map[string]string{"schemas": ""}}); err != nil || c.Schemas != nil {
		t.Errorf("without a folder: %v, %v", c, err)
	}
}

// Every change of the file and of a schema is noticed once; what is no schema, and another folder, are none.
func TestWatchNoticesTheFileAndTheSchemas(t *testing.T) {
	dir, other := t.TempDir(), t.TempDir()
	write := func(path, text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(dir, "roxy.yaml")
	write(file, "a")
	write(filepath.Join(dir, "a.json"), "a")
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		folder, changes := dir, 0
		go Watch(ctx, file, func() string { return folder }, func() { changes++ })
		synctest.Wait()
		step := func(what string, want int, do func()) {
			t.Helper()
			do()
			time.Sleep(3 * time.Second)
			synctest.Wait()
			if changes != want {
				t.Errorf("%s: %d changes, want %d", what, changes, want)
			}
			changes = 0
		}
		step("nothing", 0, func() {})
		step("the file", 1, func() { write(file, "ab") })
		step("a schema", 1, func() { write(filepath.Join(dir, "a.json"), "ab") })
		step("a new schema", 1, func() { write(filepath.Join(dir, "b.json"), "ab") })
		step("both", 1, func() { write(file, "abc"); write(filepath.Join(dir, "b.json"), "abc") })
		step("a file that is no schema", 0, func() { write(filepath.Join(dir, "README.md"), "a") })
		step("a schema that goes", 1, func() {
			if err := os.Remove(filepath.Join(dir, "b.json")); err != nil {
				t.Fatal(err)
			}
		})
		step("another folder", 0, func() { folder = other })
		step("a schema there", 1, func() { write(filepath.Join(other, "c.json"), "a") })
		step("a schema of the folder before", 0, func() { write(filepath.Join(dir, "a.json"), "abcd") })
	})
}
