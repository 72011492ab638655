package main

import (
	"os"

	"github.com/spf13/cobra"

	"github.com/roxyhub/roxy/internal/config"
)

// addConfigFlags gives cmd --config and a flag for each key.
func addConfigFlags(cmd *cobra.Command) {
	cmd.Flags().String("config", "", "configuration `FILE`")
	for _, k := range config.Keys() {
		cmd.Flags().String(k.Flag, "", k.Doc+withDefault(k.Default))
	}
	cmd.Flags().SortFlags = false
}

func withDefault(s string) string {
	if s == "" || s == "[]" || s == "{}" {
		return ""
	}
	return " (default " + s + ")"
}

// sourcesOf returns where the configuration comes from.
func sourcesOf(cmd *cobra.Command) (config.Sources, error) {
	from := config.Sources{Env: os.LookupEnv, Flags: make(map[string]string)}
	file, err := cmd.Flags().GetString("config")
	if err != nil {
		return from, err
	}
	from.File = file
	for _, k := range config.Keys() {
		if f := cmd.Flags().Lookup(k.Flag); f.Changed {
			from.Flags[k.Flag] = f.Value.String()
		}
	}
	return from, nil
}

// keysGiven reports whether the environment or the flags name keys to verify tokens with.
func keysGiven(from config.Sources) bool {
	_, env := from.Env("ROXY_AUTH_KEYS")
	_, flag := from.Flags["auth-keys"]
	return env || flag
}
