package admin

import "net/http"

// healthz answers GET /healthz: the process is up and answers. Whoever gets no answer restarts it.
func (a *api) healthz(w http.ResponseWriter, _ *http.Request) error {
	return answer(w, struct {
		Status string `json:"status"`
	}{"up"})
}
