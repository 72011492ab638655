package main

import (
	"context"
	"errors"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/roxyhub/roxy/client"
)

// clientFlags say which hub to talk to and as whom.
type clientFlags struct{ url, tokenFile string }

func (f *clientFlags) add(cmd *cobra.Command) {
	url := os.Getenv("ROXY_URL")
	if url == "" {
		url = "http://127.0.0.1:8080"
	}
	cmd.Flags().StringVar(&f.url, "url", url, "the hub's `URL`; also ROXY_URL")
	cmd.Flags().StringVar(&f.tokenFile, "token-file", "", "`FILE` that holds the token; else ROXY_TOKEN does. It is read again for each connection")
}

// open returns a client, which reads the token again for each connection.
func (f *clientFlags) open() (*client.Client, error) {
	if f.tokenFile == "" {
		if _, err := f.token(); err != nil {
			return nil, err
		}
	}
	return client.New(client.Options{URL: f.url, Token: func(context.Context) (string, error) { return f.token() }})
}

// token returns the token. It is never a flag's value: every user of the machine could read it in the process list.
func (f *clientFlags) token() (string, error) {
	if f.tokenFile != "" {
		text, err := os.ReadFile(f.tokenFile)
		return strings.TrimSpace(string(text)), err
	}
	token := os.Getenv("ROXY_TOKEN")
	if token == "" {
		return "", errors.New("no token: set ROXY_TOKEN or give --token-file. roxy token makes one for development")
	}
	return token, nil
}
