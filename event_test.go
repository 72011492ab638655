package roxy

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"
)

func TestCheckNamesTheMemberAtFault(t *testing.T) {
	topic := func(s string) Topic {
		t.Helper()
		topic, err := ParseTopic(s)
		if err != nil {
			t.Fatal(err)
		}
		return topic
	}
	good := Event{Topic: topic("orders/7"), Type: "order:new", Data: []byte(`{"a":1}`)}
	for name, tt := range map[string]struct {
		change func(*Event)
		code   Code // "" when all is well
		member string
	}{
		"as it is":               {func(*Event) {}, "", ""},
		"everything set":         {func(e *Event) { e.ID, e.Correlation, e.Except, e.TTL = "k", "c", "d_-1", time.Second }, "", ""},
		"no topic":               {func(e *Event) { e.Topic = Topic{} }, InvalidTopic, "topic"},
		"reserved topic":         {func(e *Event) { e.Topic = topic("roxy/x") }, InvalidTopic, "topic"},
		"no type":                {func(e *Event) { e.Type = "" }, InvalidEvent, "type"},
		"reserved type":          {func(e *Event) { e.Type = "roxy:bye" }, InvalidEvent, "type"},
		"line break in the type": {func(e *Event) { e.Type = "a\nid: x" }, InvalidEvent, "type"},
		"long id":                {func(e *Event) { e.ID = strings.Repeat("x", 129) }, InvalidEvent, "id"},
		"NUL in the correlation": {func(e *Event) { e.Correlation = "a\x00" }, InvalidEvent, "correlation"},
		"bad device":             {func(e *Event) { e.Except = "a b" }, InvalidEvent, "except"},
		"negative ttl":           {func(e *Event) { e.TTL = -1 }, InvalidEvent, "ttl"},
		"too large":              {func(e *Event) { e.Data = bytes.Repeat([]byte("1"), 1000) }, TooLarge, "data"},
	} {
		t.Run(name, func(t *testing.T) {
			e := good
			tt.change(&e)
			err := e.Check(1000)
			if tt.code == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			var p *Problem
			if !errors.As(err, &p) || p.Code != tt.code || p.Member != tt.member {
				t.Errorf("got %v, want %s at %s", err, tt.code, tt.member)
			}
		})
	}
}

func TestFingerprintCoversAllThatThePublisherSet(t *testing.T) {
	base := Event{Type: "a", Data: []byte("1"), To: Audience{Roles: []string{"x"}}}
	seen := map[[16]byte]string{base.Fingerprint(): "base"}
	for name, change := range map[string]func(*Event){
		"topic":          func(e *Event) { e.Topic = Topic{"t"} },
		"type":           func(e *Event) { e.Type = "b" },
		"data":           func(e *Event) { e.Data = []byte("2") },
		"a role as user": func(e *Event) { e.To = Audience{Users: []string{"x"}} },
		"role":           func(e *Event) { e.To = Audience{Roles: []string{"y"}} },
		"ttl":            func(e *Event) { e.TTL = time.Second },
		"correlation":    func(e *Event) { e.Correlation = "c" },
		"except":         func(e *Event) { e.Except = "d" },
		"urgent":         func(e *Event) { e.Urgent = true },
	} {
		e := base
		change(&e)
		if other, ok := seen[e.Fingerprint()]; ok {
			t.Errorf("%s and %s have one fingerprint", name, other)
		}
		seen[e.Fingerprint()] = name
	}
	again := base
	again.TraceParent, again.Offset, again.Time, again.By = "00-…", 7, time.Now(), "u"
	if again.Fingerprint() != base.Fingerprint() {
		t.Error("what the hub sets changes the fingerprint")
	}
}

func TestNewAudienceSortsAndNamesTheNameAtFault(t *testing.T) {
	a, err := NewAudience([]string{"waiter", "kitchen", "waiter"}, []string{"u2", "u1"})
	if err != nil {
		t.Fatal(err)
	}
	if strings.Join(a.Roles, " ") != "kitchen waiter" || strings.Join(a.Users, " ") != "u1 u2" {
		t.Errorf("got %v", a)
	}
	if !a.Includes("u1", nil) || !a.Includes("u9", []string{"waiter"}) || a.Includes("u9", []string{"till"}) || !(Audience{}).Includes("u9", nil) {
		t.Error("wrong people included")
	}
	if _, err := NewAudience(nil, []string{"ok", ""}); err == nil || !strings.HasPrefix(err.Error(), "users[1]") {
		t.Errorf("got %v", err)
	}
	if _, err := NewAudience(make([]string, MaxAudienceNames+1), nil); err == nil {
		t.Error("an audience without bounds was accepted")
	}
}

func TestGrantDeniesByDefault(t *testing.T) {
	p := func(s string) Pattern {
		t.Helper()
		p, err := ParsePattern(s)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	var none Grant
	if none.MayRead(p("a")) || none.MayPublish(Topic{"a"}) {
		t.Error("the zero grant allows something")
	}
	g := Grant{Read: []Pattern{p("orders/**")}}.Union(Grant{Read: []Pattern{p("orders/**"), p("tables/*")}, Publish: []Pattern{p("calls/*")}})
	if len(g.Read) != 2 {
		t.Errorf("union repeats: %v", g.Read)
	}
	for pattern, want := range map[string]bool{"orders/7": true, "orders/*": true, "tables/*": true, "tables/**": false, "**": false, "*/7": false} {
		if got := g.MayRead(p(pattern)); got != want {
			t.Errorf("may read %s: %t, want %t", pattern, got, want)
		}
	}
	if !g.MayPublish(Topic{"calls/1"}) || g.MayPublish(Topic{"orders/1"}) {
		t.Error("publishing follows the wrong patterns")
	}
}

func TestRevocationMatchesItsOwnTenantAlone(t *testing.T) {
	now := time.Now()
	old := Identity{Tenant: "bar", User: "u", TokenID: "j", IssuedAt: now.Add(-time.Hour)}
	for name, tt := range map[string]struct {
		r    Revocation
		want bool
	}{
		"by jti":                {Revocation{Tenant: "bar", TokenID: "j"}, true},
		"another jti":           {Revocation{Tenant: "bar", TokenID: "k"}, false},
		"another tenant":        {Revocation{Tenant: "pub", TokenID: "j"}, false},
		"by user":               {Revocation{Tenant: "bar", User: "u", Before: now}, true},
		"issued later":          {Revocation{Tenant: "bar", User: "u", Before: now.Add(-2 * time.Hour)}, false},
		"another user":          {Revocation{Tenant: "bar", User: "v", Before: now}, false},
		"user of other tenant":  {Revocation{Tenant: "pub", User: "u", Before: now}, false},
		"nothing named matches": {Revocation{Tenant: "bar"}, false},
	} {
		if got := tt.r.Matches(old); got != tt.want {
			t.Errorf("%s: %t, want %t", name, got, tt.want)
		}
	}
}
