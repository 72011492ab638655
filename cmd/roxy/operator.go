package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/spf13/cobra"

	"github.com/roxyhub/roxy"
)

// operator asks a hub's operator's listener.
type operator struct {
	clientFlags
	accept string // the media type to ask for; "" for whatever comes
}

func (o *operator) add(cmd *cobra.Command, flag string) {
	o.url = "http://127.0.0.1:8081"
	if admin := os.Getenv("ROXY_ADMIN_URL"); admin != "" {
		o.url = admin
	}
	cmd.Flags().StringVar(&o.url, flag, o.url, "the `URL` of the hub's operator's listener; also ROXY_ADMIN_URL")
	cmd.Flags().StringVar(&o.tokenFile, "token-file", "", "`FILE` that holds an administrator's token; else ROXY_TOKEN does")
}

// open sends a request and returns the answer when it is one of success. The caller closes its body.
func (o *operator) open(ctx context.Context, method, path, contentType string, body []byte) (*http.Response, error) {
	token, err := o.token()
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, method, o.url+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	if o.accept != "" {
		req.Header.Set("Accept", o.accept)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil || resp.StatusCode == http.StatusOK {
		return resp, err
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 1<<16))
	if err != nil {
		return nil, err
	}
	var said struct {
		Code       roxy.Code `json:"code"`
		Detail     string    `json:"detail"`
		RetryAfter string    `json:"retryAfter"`
	}
	if err := json.Unmarshal(text, &said); err != nil || said.Code == "" {
		return nil, fmt.Errorf("%s: %s: is this a hub's operator's listener?", o.url, resp.Status)
	}
	wait, _ := time.ParseDuration(said.RetryAfter) // none is none
	return nil, &roxy.Problem{Code: said.Code, Detail: said.Detail, RetryAfter: wait}
}

// ask sends a request and decodes the answer.
func (o *operator) ask(ctx context.Context, method, path, contentType string, body []byte, answer any) error {
	resp, err := o.open(ctx, method, path, contentType, body)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err == nil {
		err = json.Unmarshal(text, answer)
	}
	return err
}
