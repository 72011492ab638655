package httpapi

import (
	_ "embed" // the SDK's build
	"net/http"
)

// sdkSource is @roxy/sdk in one ES module. `make golden` writes it, and the SDK's tests compare.
//
//go:embed sdk.js
var sdkSource []byte

// sdk answers GET /v1/sdk.js, for pages that want no package manager, to all: it holds no secret.
func (a *api) sdk(x *exchange, r *http.Request) error {
	a.sdkBuild.answer(x, r)
	return nil
}
