package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/roxyhub/roxy/internal/config"
	"github.com/roxyhub/roxy/schema"
	"github.com/roxyhub/roxy/schema/typescript"
)

func newGenerate() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "generate",
		Short: "Write types for the schemas of events and entities",
	}
	cmd.AddCommand(newGenerateTypeScript())
	return cmd
}

func newGenerateTypeScript() *cobra.Command {
	var folder, file, out string
	cmd := &cobra.Command{
		Use:   "typescript",
		Short: "Write the JSON Schemas of a folder as TypeScript",
		Long: `typescript writes a type for each JSON Schema of a folder, and RoxyEvents and RoxyEntities, which tell what type an
event or entity has. The same schemas give the same text, so that it can be committed and compared. A file that holds it
already is left as it is.`,
		Example: `  roxy generate typescript --schemas schemas --out src/roxy.ts
  roxy generate typescript --config roxy.yaml > src/roxy.ts`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			set, err := schemasOf(folder, file)
			if err != nil {
				return err
			}
			text := typescript.Generate(set)
			events, entities := purposes(set)
			what := fmt.Sprintf("%d types, %d events, %d entities", len(set.Types()), events, entities)
			switch done, err := writeIfOther(cmd.OutOrStdout(), out, text); {
			case err != nil:
				return err
			case out == "" || out == "-":
				_, _ = fmt.Fprintf(cmd.ErrOrStderr(), "wrote %s\n", what)
			case done:
				_, _ = fmt.Fprintf(cmd.ErrOrStderr(), "wrote %s: %s\n", out, what)
			default:
				_, _ = fmt.Fprintf(cmd.ErrOrStderr(), "%s is up to date: %s\n", out, what)
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&folder, "schemas", "", "`FOLDER` of the schemas")
	cmd.Flags().StringVar(&file, "config", "", "configuration `FILE` whose key schemas names the folder")
	cmd.Flags().StringVar(&out, "out", "", "`FILE` to write; - or none for standard output")
	return cmd
}

// schemasOf returns the schemas of a folder, or of the one that a configuration names.
func schemasOf(folder, file string) (*schema.Set, error) {
	switch {
	case folder != "" && file != "":
		return nil, errors.New("--schemas and --config name a folder each: leave one of them out")
	case folder != "":
		return schema.Load(folder)
	case file == "":
		return nil, errors.New("no schemas: name their folder with --schemas, or a configuration with --config")
	}
	c, err := config.Load(config.Sources{File: file, Env: os.LookupEnv})
	if err != nil {
		return nil, err
	}
	if c.Schemas == nil {
		return nil, fmt.Errorf("%s names no schemas: set its key schemas to their folder, or name it with --schemas", file)
	}
	return c.Schemas, nil
}

// writeIfOther writes text to file, unless it holds that already; - and "" are out. It returns whether it wrote.
func writeIfOther(out io.Writer, file string, text []byte) (bool, error) {
	if file == "" || file == "-" {
		_, err := out.Write(text)
		return true, err
	}
	// A file that cannot be read is written, and the error of that is the better one.
	if old, err := os.ReadFile(file); err == nil && bytes.Equal(old, text) { //nolint:gosec // the user named it
		return false, nil
	}
	if err := os.WriteFile(file, text, 0o644); err != nil { //nolint:gosec // source text, for everybody to read
		return false, fmt.Errorf("write the types: %w", err)
	}
	return true, nil
}

// purposes returns for how many event types and patterns of entities set has schemas.
func purposes(set *schema.Set) (events, entities int) {
	for _, f := range set.Files() {
		events += len(f.Events)
		if f.Topic != "" {
			entities++
		}
	}
	return events, entities
}
