package httpapi

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"testing"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/auth"
)

func TestPresenceTellsUsersAndTheirDevicesPageByPage(t *testing.T) {
	s := open(t, noLimits(), nil)
	as := func(user, tenant string) map[string]string {
		return map[string]string{"Authorization": "Bearer " + sign(t, func(c *auth.Claims) { c.User, c.Tenant = user, tenant })}
	}
	for _, user := range []string{"cyd", "ann", "bob"} {
		for _, device := range []string{"&device=tablet-" + user, ""} {
			s.stream(t, call{path: "/v1/stream?topic=orders/*" + device, header: as(user, "bar")}).until(t, "roxy:live")
		}
	}
	s.stream(t, call{path: "/v1/stream?topic=orders/*", header: as("stranger", "pub")}).until(t, "roxy:live")

	var users []string
	for path := "/v1/presence?topic=orders/7&limit=2"; path != ""; {
		var body rollBody
		got := s.ask(t, call{path: path})
		if err := json.Unmarshal([]byte(got.body), &body); err != nil || got.status != http.StatusOK || body.Topic != "orders/7" || body.Settles.IsZero() {
			t.Fatal(got)
		}
		for _, u := range body.Users {
			users = append(users, u.User)
			if d := u.Devices; len(d) != 2 || d[0].Device != "" || d[1].Device != "tablet-"+u.User || !d[1].Connected || d[1].Transport != "sse" || d[1].Since.IsZero() {
				t.Errorf("%s has %+v", u.User, d)
			}
		}
		path = ""
		if body.Page != "" {
			path = "/v1/presence?topic=orders/7&limit=2&page=" + body.Page
			if got := s.ask(t, call{path: "/v1/presence?topic=orders/8&page=" + body.Page}); got.status != http.StatusBadRequest {
				t.Errorf("the page of another topic is answered: %v", got)
			}
		}
	}
	if want := []string{"ann", "bob", "cyd"}; !slices.Equal(users, want) {
		t.Errorf("got %v, want %v", users, want)
	}
}

// Whatever the query, what is asked for is within its bounds, and a page leads where it says.
func FuzzParseRoll(f *testing.F) {
	f.Add("topic=orders/1&limit=2")
	f.Add("limit=1000")
	f.Add("topic=orders/*")
	f.Add("page=" + (&roll{}).token("ann"))
	f.Add("page=" + (&roll{}).token("a\nb"))
	f.Fuzz(func(t *testing.T, raw string) {
		query, err := url.ParseQuery(raw)
		if err != nil {
			return
		}
		l, err := parseRoll(query)
		if err != nil {
			return
		}
		if l.limit < 1 || l.limit > maxPage {
			t.Errorf("limit %d", l.limit)
		}
		if l.after != "" && roxy.CheckName(l.after) != nil {
			t.Errorf("after %q", l.after)
		}
		query.Set("page", l.token("ann"))
		if again, err := parseRoll(query); err != nil || again.topic != l.topic || again.after != "ann" {
			t.Errorf("the page behind %+v is %+v, %v", l, again, err)
		}
	})
}
