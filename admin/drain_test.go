package admin

import (
	"context"
	"testing"
	"time"

	"github.com/roxyhub/roxy/auth"
)

func TestADrainIsForTheOperatorAndSaysWhatIsLeft(t *testing.T) {
	s := open(t)
	operator := token(t, auth.DefaultTenant, "root", true)
	for bearer, want := range map[string]int{"": 401, token(t, auth.DefaultTenant, "u7", false): 403, token(t, "bar", "boss", true): 403} {
		if got := s.ask(t, "POST", "/v1/admin/drain", bearer, ""); got.status != want {
			t.Errorf("%d, want %d: %s", got.status, want, got.body)
		}
	}
	for _, over := range []string{"", "soon", "-1s", "2h"} {
		got := s.ask(t, "POST", "/v1/admin/drain?over="+over, operator, "")
		if code, member, _ := got.code(t); got.status != 400 || code != "invalid-parameter" || member != "over" {
			t.Errorf("over=%q: %d %s", over, got.status, got.body)
		}
	}
	select {
	case <-s.drains:
		t.Fatal("a refused call drained the hub")
	default:
	}
	s.follow(t, token(t, "bar", "u7", false))
	var got draining
	s.ask(t, "POST", "/v1/admin/drain", operator, "").into(t, &got)
	if got != (draining{1, "30s"}) {
		t.Errorf("got %+v", got)
	}
	s.ask(t, "POST", "/v1/admin/drain?over=1m", operator, "").into(t, &got)
	if got != (draining{1, "1m0s"}) {
		t.Errorf("got %+v", got)
	}
	if a, b := <-s.drains, <-s.drains; a != 30*time.Second || b != time.Minute {
		t.Errorf("drained over %s, %s", a, b)
	}
	if err := s.hub.Drain(context.WithoutCancel(t.Context()), 0); err != nil {
		t.Fatal(err)
	}
	s.ask(t, "POST", "/v1/admin/drain", operator, "").into(t, &got)
	if got != (draining{0, "30s"}) || len(s.drains) > 0 {
		t.Errorf("of a hub that drains: %+v", got)
	}
	if got := s.ask(t, "GET", "/readyz", "", ""); got.status != 503 {
		t.Errorf("/readyz of a hub that drains: %d", got.status)
	}
}
