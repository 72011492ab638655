package admin

import (
	"bufio"
	"net/http"
	"testing"

	"github.com/roxyhub/roxy"
)

func TestDevicesAndWhatWaitsForThemAreOfTheCallersTenant(t *testing.T) {
	s := open(t)
	for _, d := range []struct{ tenant, user, device string }{{"bar", "u7", "board"}, {"bar", "u8", "till"}, {"club", "u7", "board"}} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.public.URL+"/v1/stream?topic=orders/*&type=order:new&device="+d.device, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+token(t, d.tenant, d.user, true))
		response, err := s.public.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = response.Body.Close() }()
		for scan := bufio.NewScanner(response.Body); scan.Scan() && scan.Text() != "event: roxy:live"; {
		}
	}
	topic, err := roxy.ParseTopic("orders/1")
	if err != nil {
		t.Fatal(err)
	}
	by := roxy.Identity{Tenant: "bar", User: "u7", Grant: roxy.Grant{Publish: []roxy.Pattern{roxy.Pattern(topic)}}}
	if _, err := s.hub.Publish(t.Context(), by, []roxy.Event{{Topic: topic, Type: "order:new", To: roxy.Audience{Users: []string{"u8"}}}}); err != nil {
		t.Fatal(err)
	}
	var got struct {
		Devices []device `json:"devices"`
	}
	s.ask(t, "GET", "/v1/admin/devices", token(t, "bar", "boss", true), "").into(t, &got)
	if len(got.Devices) != 2 || got.Devices[0].Device != "board" || got.Devices[0].User != "u7" || got.Devices[1].Device != "till" || got.Devices[1].User != "u8" {
		t.Fatalf("%+v", got)
	}
	if d := got.Devices[1]; !d.Connected || d.Connection == "" || d.Transport != "sse" || len(d.Patterns) != 1 || d.Patterns[0] != "orders/*" ||
		len(d.Types) != 1 || d.Roles[0] != "waiter" || d.Created.IsZero() || d.Seen.IsZero() || d.Cursor == "" {
		t.Errorf("%+v", d)
	}
	for tenant, want := range map[string]int{"bar": 1, "club": 0, "empty": 0} {
		var st stats
		s.ask(t, "GET", "/v1/admin/stats", token(t, tenant, "boss", true), "").into(t, &st)
		if len(st.Queues) != want || st.Queues == nil {
			t.Errorf("%s: %+v", tenant, st.Queues)
		}
		if want == 1 && (st.Queues[0].Device != "till" || st.Queues[0].Size != 1 || st.Queues[0].Oldest.IsZero()) {
			t.Errorf("%+v", st.Queues)
		}
	}
}
