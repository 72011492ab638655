package auth_test

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/auth"
)

func ExampleVerifier() {
	secret := []byte("a shared secret of at least 32 bytes")
	orders, err := roxy.ParsePattern("orders/**")
	if err != nil {
		panic(err)
	}
	verifier, err := auth.New(context.Background(), auth.Options{
		Keys:   []auth.Key{{Algorithm: "HS256", Secret: secret}},
		Policy: auth.Policy{Roles: map[string]roxy.Grant{"waiter": {Read: []roxy.Pattern{orders}}}},
	})
	if err != nil {
		panic(err)
	}
	defer verifier.Close()

	token, err := auth.SignDevelopment(secret, auth.Claims{User: "u7", Roles: []string{"waiter"}, Expires: time.Now().Add(time.Hour)})
	if err != nil {
		panic(err)
	}
	request, err := http.NewRequestWithContext(context.Background(), http.MethodGet, "/v1/stream", nil)
	if err != nil {
		panic(err)
	}
	request.Header.Set("Authorization", "Bearer "+token)
	who, err := verifier.Authenticate(request)
	fmt.Println(who.Tenant, who.User, who.Grant.MayRead(orders), err)
	// Output: default u7 true <nil>
}
