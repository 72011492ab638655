package httpapi

import (
	_ "embed" // the SDK's build
	"net/http"
)

// sdkSource is @roxy/sdk in one ES module. `make golden` writes it, and the SDK's tests compare.
//
//go:embed sdk.js
var sdkSource []byte

// sdkBuild is what a page imports who wants no package manager.
var sdkBuild = serve(sdkSource, "text/javascript; charset=utf-8")

// sdk answers GET /v1/sdk.js to all. It holds no secret, and what it asks for needs an identity.
func (a *api) sdk(x *exchange, r *http.Request) error {
	sdkBuild.answer(x, r)
	return nil
}
