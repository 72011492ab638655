package httpapi

import (
	"context"
	"net/http"
)

type surplusKey struct{}

// Surplus marks the context of a connection that took one of the last descriptors: it gets an answer and is closed. Streams,
// which would stay, are refused; a publish is over soon and is not.
func Surplus(ctx context.Context) context.Context {
	return context.WithValue(ctx, surplusKey{}, true)
}

func isSurplus(r *http.Request) bool { return r.Context().Value(surplusKey{}) != nil }

// admit refuses what would stay when the process cannot hold more.
func (a *api) admit(r *http.Request) error {
	if isSurplus(r) {
		return a.Limits.NoDescriptor()
	}
	return a.Limits.Memory()
}
