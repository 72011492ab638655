package httpapi

import (
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/roxyhub/roxy"
)

const trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

func TestCloudEventsOfEveryModeMeanTheSame(t *testing.T) {
	topic, _ := roxy.ParseTopic("orders/42")
	want := roxy.Event{
		Topic: topic, Type: "bar.order.new", Data: []byte(`{"n":1e400}`), ID: "5:/tills:A 1", TTL: time.Minute, Correlation: "c ö",
		To: roxy.Audience{Roles: []string{"kitchen", "waiter"}, Users: []string{"u7"}}, TraceParent: trace,
		Ack: &roxy.Ack{By: roxy.AckDevice, Within: time.Minute, Attempts: roxy.DefaultAckAttempts},
	}
	object := `{"specversion":"1.0","id":"A 1","source":"/till","type":"bar.order.new","subject":"orders/42","time":"2026-11-23T20:00:00Z",
		"datacontenttype":"application/json","dataschema":"https://bar.example/order","correlationid":"c ö","roxyroles":"waiter, kitchen",
		"roxyusers":"u7","roxyttl":"1m","roxyack":"device;within=1m","traceparent":"` + trace + `","sampledrate":5,"flag":true,"nothing":null,"data":{"n": 1e400}}`
	want.ID = "5:/till:A 1"
	structured, err := decodeCloudEvents([]byte(object), false, maxBatch)
	if err != nil || !reflect.DeepEqual(structured, []roxy.Event{want}) {
		t.Errorf("structured: %v\n got %+v\nwant %+v", err, structured, want)
	}
	batch, err := decodeCloudEvents([]byte("["+object+","+object+"]"), true, maxBatch)
	if err != nil || !reflect.DeepEqual(batch, []roxy.Event{want, want}) {
		t.Errorf("batch: %v\n got %+v", err, batch)
	}
	h := make(http.Header)
	for name, value := range map[string]string{
		"Content-Type": "application/json; charset=UTF-8", "ce-specversion": "1.0", "ce-id": "A%201", "ce-source": "/till", "ce-type": "bar.order.new",
		"ce-subject": "orders/42", "ce-time": "2026-11-23T20:00:00Z", "ce-dataschema": "https://bar.example/order", "ce-correlationid": "c%20%C3%B6",
		"ce-roxyroles": "waiter,kitchen", "ce-roxyusers": "u7", "ce-roxyttl": `"1m"`, "ce-roxyack": "device%3Bwithin=1m", "ce-traceparent": trace, "ce-sampledrate": "5",
	} {
		h.Set(name, value)
	}
	binary, err := decodeBinaryCloudEvent(h, []byte(` {"n": 1e400} `))
	if err != nil || !reflect.DeepEqual(binary, want) {
		t.Errorf("binary: %v\n got %+v", err, binary)
	}
}

func TestCloudEventsCarryTextAsAJSONString(t *testing.T) {
	h := binaryHeaders()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	e, err := decodeBinaryCloudEvent(h, []byte("two \"beers\"\nplease"))
	if err != nil || string(e.Data) != `"two \"beers\"\nplease"` {
		t.Errorf("binary: %s, %v", e.Data, err)
	}
	events, err := decodeCloudEvents([]byte(structuredWith(`"datacontenttype":"text/plain","data":"two"`)), false, maxBatch)
	if err != nil || string(events[0].Data) != `"two"` {
		t.Errorf("structured: %v", err)
	}
	delete(h, "Content-Type")
	if e, err = decodeBinaryCloudEvent(h, nil); err != nil || e.Data != nil {
		t.Errorf("no data: %q, %v", e.Data, err)
	}
}

func TestCloudEventKeysTellSourcesApart(t *testing.T) {
	seen := make(map[string]string)
	for _, pair := range [][2]string{
		{"a", "b"},
		{"a:b", ""},
		{"a", ":b"},
		{"a:", "b"},
		{"", "1:a:b"},
		{strings.Repeat("s", 200), "i"},
		{strings.Repeat("s", 199), "si"},
		{"1:a", "b"},
		{"a", "line\nfeed"},
		{"a\nline", "feed"},
	} {
		key := cloudEventKey(pair[0], pair[1])
		if err := roxy.CheckName(key); err != nil {
			t.Errorf("%q: %v", pair, err)
		}
		if other, ok := seen[key]; ok {
			t.Errorf("%q and %s have one key", pair, other)
		}
		seen[key] = fmt.Sprintf("%q", pair)
	}
}

// structuredWith returns a CloudEvent with more members; a nil-valued one given again would be refused as a repeat.
func structuredWith(more string) string {
	return `{"specversion":"1.0","id":"1","source":"/till","type":"t","subject":"a",` + more + `}`
}

func binaryHeaders() http.Header {
	h := make(http.Header)
	for name, value := range map[string]string{
		"Content-Type": "application/json", "ce-specversion": "1.0", "ce-id": "1", "ce-source": "/till", "ce-type": "t", "ce-subject": "a",
	} {
		h.Set(name, value)
	}
	return h
}

func TestStructuredCloudEventsNameTheMemberAtFault(t *testing.T) {
	const whole = `"specversion":"1.0","id":"1","source":"/till","type":"t","subject":"a"`
	without := func(member string) string {
		var kept []string
		for m := range strings.SplitSeq(whole, ",") {
			if !strings.HasPrefix(m, `"`+member+`"`) {
				kept = append(kept, m)
			}
		}
		return "{" + strings.Join(kept, ",") + "}"
	}
	for name, tt := range map[string]struct {
		body   string
		code   roxy.Code
		member string
	}{
		"an array":                   {`[]`, roxy.InvalidEvent, ""},
		"no specversion":             {without("specversion"), roxy.InvalidEvent, "specversion"},
		"another version":            {strings.Replace(structuredWith(`"x":"y"`), "1.0", "0.3", 1), roxy.InvalidEvent, "specversion"},
		"no id":                      {without("id"), roxy.InvalidEvent, "id"},
		"no source":                  {without("source"), roxy.InvalidEvent, "source"},
		"no type":                    {without("type"), roxy.InvalidEvent, "type"},
		"no subject":                 {without("subject"), roxy.InvalidTopic, "subject"},
		"a subject of null":          {strings.Replace(structuredWith(`"x":"y"`), `"a"`, "null", 1), roxy.InvalidTopic, "subject"},
		"a subject that is none":     {strings.Replace(structuredWith(`"x":"y"`), `"a"`, `"a b"`, 1), roxy.InvalidTopic, "subject"},
		"a source that is no URI":    {strings.Replace(structuredWith(`"x":"y"`), `/till`, `http://[`, 1), roxy.InvalidEvent, "source"},
		"a blank id":                 {strings.Replace(structuredWith(`"x":"y"`), `"1"`, `" "`, 1), roxy.InvalidEvent, "id"},
		"binary data":                {structuredWith(`"data_base64":"aGk="`), roxy.InvalidEvent, "data_base64"},
		"a time that is none":        {structuredWith(`"time":"yesterday"`), roxy.InvalidEvent, "time"},
		"a schema that is no URI":    {structuredWith(`"dataschema":"order.json"`), roxy.InvalidEvent, "dataschema"},
		"data of XML":                {structuredWith(`"datacontenttype":"application/xml","data":"<a/>"`), roxy.InvalidEvent, "datacontenttype"},
		"text that is no string":     {structuredWith(`"datacontenttype":"text/plain","data":{}`), roxy.InvalidEvent, "data"},
		"an object for an attribute": {structuredWith(`"extra":{}`), roxy.InvalidEvent, "extra"},
		"an attribute given twice":   {structuredWith(`"id":"2"`), roxy.InvalidEvent, "id"},
		"a name given twice inside":  {structuredWith(`"data":{"a":1,"a":2}`), roxy.InvalidEvent, "data.a"},
		"a misspelt audience":        {structuredWith(`"roxyrole":"waiter"`), roxy.InvalidEvent, "roxyrole"},
		"an audience in capitals":    {structuredWith(`"RoxyRoles":"waiter"`), roxy.InvalidEvent, "RoxyRoles"},
		"an empty audience":          {structuredWith(`"roxyroles":""`), roxy.InvalidEvent, "roxyroles"},
		"a hole in the audience":     {structuredWith(`"roxyusers":"a,,b"`), roxy.InvalidEvent, "roxyusers"},
		"an audience too large":      {structuredWith(`"roxyusers":"a` + strings.Repeat(",a", 300) + `"`), roxy.InvalidEvent, "roxyroles"},
		"a ttl of nothing":           {structuredWith(`"roxyttl":"0s"`), roxy.InvalidEvent, "roxyttl"},
		"nobody who must confirm":    {structuredWith(`"roxyack":""`), roxy.InvalidEvent, "roxyack"},
		"everybody must confirm":     {structuredWith(`"roxyack":"everybody"`), roxy.InvalidEvent, "roxyack"},
		"too little time to confirm": {structuredWith(`"roxyack":"any;within=1ms"`), roxy.InvalidEvent, "roxyack"},
		"too many attempts":          {structuredWith(`"roxyack":"any;attempts=21"`), roxy.InvalidEvent, "roxyack"},
		"attempts given twice":       {structuredWith(`"roxyack":"any;attempts=2;attempts=3"`), roxy.InvalidEvent, "roxyack"},
		"an open end":                {structuredWith(`"roxyack":"any;"`), roxy.InvalidEvent, "roxyack"},
		"an empty correlation":       {structuredWith(`"correlationid":""`), roxy.InvalidEvent, "correlationid"},
		"something after it":         {structuredWith(`"x":"y"`) + "x", roxy.InvalidEvent, ""},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := decodeCloudEvents([]byte(tt.body), false, maxBatch)
			p, ok := errors.AsType[*roxy.Problem](err)
			if !ok || p.Code != tt.code || p.Member != tt.member {
				t.Errorf("got %v, want %s at %q", err, tt.code, tt.member)
			}
			if name == "an array" {
				return
			}
			_, err = decodeCloudEvents([]byte("["+structuredWith(`"x":"y"`)+","+tt.body+"]"), true, maxBatch)
			if tt.member == "" {
				return
			}
			if p, ok = errors.AsType[*roxy.Problem](err); !ok || p.Code != tt.code || p.Member != "[1]."+tt.member {
				t.Errorf("in a batch: got %v, want %s at %q", err, tt.code, "[1]."+tt.member)
			}
		})
	}
}

func TestBinaryCloudEventsNameTheHeaderAtFault(t *testing.T) {
	for name, tt := range map[string]struct {
		header, value string
		body          string
		code          roxy.Code
		member        string
	}{
		"an unknown extension of ours": {"ce-roxyurgent", "true", `1`, roxy.InvalidEvent, "ce-roxyurgent"},
		"a subject that is none":       {"ce-subject", "a//b", `1`, roxy.InvalidTopic, "ce-subject"},
		"broken percent-encoding":      {"ce-subject", "a%zz", `1`, roxy.InvalidEvent, "ce-subject"},
		"encoded bytes, not UTF-8":     {"ce-correlationid", "%ff", `1`, roxy.InvalidEvent, "ce-correlationid"},
		"an open quote":                {"ce-id", `"1`, `1`, roxy.InvalidEvent, "ce-id"},
		"the content type as ce-":      {"ce-datacontenttype", "application/json", `1`, roxy.InvalidEvent, "ce-datacontenttype"},
		"a picture":                    {"Content-Type", "image/png", `1`, roxy.UnsupportedMedia, "Content-Type"},
		"text in Latin-1":              {"Content-Type", "text/plain; charset=iso-8859-1", `1`, roxy.UnsupportedMedia, "Content-Type"},
		"text that is not UTF-8":       {"Content-Type", "text/plain", "\xff", roxy.InvalidEvent, "data"},
		"data that is not JSON":        {"Content-Type", "application/json", `{`, roxy.InvalidEvent, "data"},
		"data with a name twice":       {"Content-Type", "application/json", `{"a":{"b":1,"b":2}}`, roxy.InvalidEvent, "data.a.b"},
		"a name twice in a list":       {"Content-Type", "application/json", `[{"b":1,"b":2}]`, roxy.InvalidEvent, "data[0].b"},
		"two values of data":           {"Content-Type", "application/json", `1 2`, roxy.InvalidEvent, "data"},
		"data too deep":                {"Content-Type", "application/json", strings.Repeat("[", 65) + strings.Repeat("]", 65), roxy.InvalidEvent, "data"},
	} {
		t.Run(name, func(t *testing.T) {
			h := binaryHeaders()
			h.Set(tt.header, tt.value)
			_, err := decodeBinaryCloudEvent(h, []byte(tt.body))
			if p, ok := errors.AsType[*roxy.Problem](err); !ok || p.Code != tt.code || p.Member != tt.member {
				t.Errorf("got %v, want %s at %q", err, tt.code, tt.member)
			}
		})
	}
	h := binaryHeaders()
	h.Add("ce-id", "2")
	if _, err := decodeBinaryCloudEvent(h, nil); err == nil {
		t.Error("an id given twice was taken")
	}
}

func FuzzDecodeCloudEvents(f *testing.F) {
	f.Add([]byte(structuredWith(`"data":{"a":[1]},"roxyroles":"a,b"`)), "orders/1", "text/plain")
	f.Add([]byte("["+structuredWith(`"data":"\ud800"`)+"]"), "a%20b", "application/json")
	f.Add([]byte(structuredWith(`"time":"2026-11-23T20:00:00Z","dataschema":"http://x"`)), `"a\"`, "application/x+json; charset=\"utf-8\"")
	f.Add([]byte("\xff"), "%ff", "")
	f.Add([]byte(structuredWith(`"roxyack":"user;attempts=2;within=1h"`)), "any;within=;attempts=-1;x", "text/plain")
	f.Fuzz(func(t *testing.T, body []byte, attribute, contentType string) {
		for _, batch := range []bool{false, true} {
			events, err := decodeCloudEvents(body, batch, maxBatch)
			checkDecoded(t, body, events, err)
		}
		h := binaryHeaders()
		h.Set("Content-Type", contentType)
		h.Set("ce-subject", attribute)
		h.Set("ce-roxyusers", attribute)
		h.Set("ce-roxyack", attribute)
		e, err := decodeBinaryCloudEvent(h, body)
		checkDecoded(t, body, []roxy.Event{e}, err)
	})
}
