package httpapi_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/auth"
	"github.com/roxyhub/roxy/engine/disk"
	"github.com/roxyhub/roxy/httpapi"
	"github.com/roxyhub/roxy/hub"
	"github.com/roxyhub/roxy/limit"
)

// A program that embeds the hub serves it as any other handler, and closes it from the outside in.
func ExampleNew() {
	secret := []byte("thirty-two bytes known to nobody")
	log, err := disk.Open("data", disk.Options{FS: vfs.NewMem()}) // leave FS out to keep events
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = log.Close() }()
	h, err := hub.Start(context.Background(), log, hub.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = h.Close(context.Background()) }()
	verifier, err := auth.New(context.Background(), auth.Options{Keys: []auth.Key{{Algorithm: "HS256", Secret: secret}}, Revoked: h.Revoked})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer verifier.Close()
	handler, err := httpapi.New(httpapi.Options{Hub: h, Auth: verifier, Limits: limit.New(limit.Options{})})
	if err != nil {
		fmt.Println(err)
		return
	}
	server := httptest.NewServer(handler)
	defer server.Close()

	orders, _ := roxy.ParsePattern("orders/*")
	token, _ := auth.SignDevelopment(secret, auth.Claims{User: "till", Grant: roxy.Grant{Publish: []roxy.Pattern{orders}}, Expires: time.Now().Add(time.Hour)})
	r, _ := http.NewRequestWithContext(context.Background(), http.MethodPost, server.URL+"/v1/events", strings.NewReader(`{"topic":"orders/42","data":{"table":7}}`))
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		fmt.Println(err)
		return
	}
	_ = resp.Body.Close()
	fmt.Println(resp.Status)
	// Output: 200 OK
}
