package admin

import "net/http"

// metrics answers GET /metrics: counts of the whole process, for Prometheus. Its labels name no tenant and no user.
func (a *api) metrics(w http.ResponseWriter, r *http.Request) error {
	a.Metrics.ServeHTTP(w, r)
	return nil
}
