package httpapi

import (
	"net/http"
	"strings"
	"testing"

	"github.com/roxyhub/roxy/limit"
)

func TestTheLogSaysWhoAndWhatButNoSecret(t *testing.T) {
	s := open(t, limit.Options{}, nil)
	secret := sign(t, nil)
	s.publish(t, map[string]string{"Authorization": "Bearer " + secret}, `{"topic":"orders/1","correlation":"c-77","data":"the-payload"}`)
	s.answer(t, call{http.MethodPost, "/v1/events", nil, `{"topic":"orders/1","ttl":"the-payload"}`})
	s.answer(t, call{path: "/v1/stream?topic=the-query&ticket=" + secret, header: map[string]string{"Authorization": ""}})
	s.answer(t, call{http.MethodPost, "/v1/sessions/the-connection/refresh", nil, ""})
	s.Close() // the log is written after the answer
	log := s.log.String()
	for _, want := range []string{
		`"method":"POST","route":"POST /v1/events","status":200,"code":"","tenant":"bar","user":"u7","correlation":"c-77"`,
		`"status":400,"code":"invalid-event","tenant":"bar","user":"u7"`,
		`"route":"GET /v1/stream","status":400,"code":"token-in-url"`,
		`"took":`,
	} {
		if !strings.Contains(log, want) {
			t.Errorf("the log lacks %s:\n%s", want, log)
		}
	}
	for _, not := range []string{secret, secret[len(secret)-20:], "the-payload", "the-query", "the-connection"} {
		if strings.Contains(log, not) {
			t.Errorf("the log holds %s:\n%s", not, log)
		}
	}
}
