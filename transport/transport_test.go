package transport

import (
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/roxyhub/roxy"
)

func TestParseSubscriptionNamesTheParameterAtFault(t *testing.T) {
	for name, tt := range map[string]struct {
		query, lastEventID string
		member             string // "" when all is well
	}{
		"one pattern":                    {"topic=orders/*", "", ""},
		"all parameters":                 {"topic=a&topic=b/**&type=x&after=e1.7&heartbeat=5s&ticket=t", "", ""},
		"from the earliest":              {"topic=a&after=earliest", "", ""},
		"header from the earliest":       {"topic=a", "earliest", ""},
		"no topic":                       {"type=x", "", "topic"},
		"bad topic":                      {"topic=a//b", "", "topic"},
		"bad cursor":                     {"topic=a&after=7", "", "after"},
		"bad header":                     {"topic=a&after=e1.7", "e1.x", "Last-Event-ID"},
		"two cursors":                    {"topic=a&after=e1.7&after=e1.8", "", "after"},
		"short heartbeat":                {"topic=a&heartbeat=10ms", "", "heartbeat"},
		"long heartbeat":                 {"topic=a&heartbeat=2m", "", "heartbeat"},
		"empty type":                     {"topic=a&type=", "", "type"},
		"too many patterns":              {"topic=a&topic=b&topic=c", "", "topic"},
		"unknown":                        {"topic=a&topics=b", "", "topics"},
		"a snapshot":                     {"topic=a&snapshot=1", "", ""},
		"a snapshot behind a cursor":     {"topic=a&snapshot=1&after=e1.7", "e1.7", ""},
		"a snapshot by another word":     {"topic=a&snapshot=true", "", "snapshot"},
		"no snapshot":                    {"topic=a&snapshot=0", "", "snapshot"},
		"an empty snapshot":              {"topic=a&snapshot=", "", "snapshot"},
		"two snapshots":                  {"topic=a&snapshot=1&snapshot=1", "", "snapshot"},
		"a snapshot of the past":         {"topic=a&snapshot=1&after=earliest", "", "snapshot"},
		"a snapshot of the past, header": {"topic=a&snapshot=1", "earliest", "snapshot"},
		"a header wins over the past":    {"topic=a&snapshot=1&after=earliest", "e1.7", ""},
		"a device":                       {"topic=a&device=Tablet_1-x", "", ""},
		"an empty device":                {"topic=a&device=", "", "device"},
		"a device with a dot":            {"topic=a&device=a.b", "", "device"},
		"a long device":                  {"topic=a&device=" + strings.Repeat("x", 65), "", "device"},
		"two devices":                    {"topic=a&device=a&device=b", "", "device"},
		"a header wins over a parameter": {"topic=a&after=earliest", "e1.7", ""},
	} {
		t.Run(name, func(t *testing.T) {
			query, err := url.ParseQuery(tt.query)
			if err != nil {
				t.Fatal(err)
			}
			sub, err := ParseSubscription(query, tt.lastEventID, Options{MaxTopics: 2})
			if tt.member == "" {
				if err != nil {
					t.Fatal(err)
				}
				if sub.Snapshot != query.Has("snapshot") || sub.Device != query.Get("device") {
					t.Errorf("got %+v", sub)
				}
				if tt.lastEventID == "e1.7" && (sub.After == nil || sub.After.Offset != 7 || sub.Earliest) {
					t.Errorf("after %v, earliest %t", sub.After, sub.Earliest)
				}
				return
			}
			var p *roxy.Problem
			if !errors.As(err, &p) || p.Member != tt.member {
				t.Errorf("got %v, want a problem with %q", err, tt.member)
			}
		})
	}
}

func FuzzParseSubscription(f *testing.F) {
	f.Add("topic=orders/*&type=x&after=e1.7&heartbeat=5s", "")
	f.Add("topic=**", "e1.18446744073709551615")
	f.Add("topic=a&snapshot=1&device=tablet-1", "earliest")
	f.Fuzz(func(t *testing.T, raw, lastEventID string) {
		query, err := url.ParseQuery(raw)
		if err != nil {
			return
		}
		sub, err := ParseSubscription(query, lastEventID, Options{})
		if err != nil {
			var p *roxy.Problem
			if !errors.As(err, &p) || p.Member == "" && !query.Has("") { // a parameter may have no name
				t.Fatalf("error %v is no problem that names a member", err)
			}
			return
		}
		if n := len(sub.Patterns); n < 1 || n > 64 || sub.Heartbeat < time.Second || sub.Heartbeat > time.Minute || sub.Earliest && (sub.After != nil || sub.Snapshot) || len(sub.Device) > 64 {
			t.Fatalf("accepted %+v", sub)
		}
	})
}
