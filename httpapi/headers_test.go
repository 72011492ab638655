package httpapi

import (
	"net/http"
	"strings"
	"testing"
)

func TestIdempotencyKeyTakesBothSpellings(t *testing.T) {
	for name, tt := range map[string]struct {
		values []string
		want   string
		ok     bool
	}{
		"none":                    {nil, "", true},
		"bare":                    {[]string{"k-1"}, "k-1", true},
		"quoted":                  {[]string{`"k-1"`}, "k-1", true},
		"quoted with escapes":     {[]string{`"a\"b\\c"`}, `a"b\c`, true},
		"two":                     {[]string{"a", "b"}, "", false},
		"empty":                   {[]string{""}, "", false},
		"empty quotes":            {[]string{`""`}, "", false},
		"one quote":               {[]string{`"`}, "", false},
		"no closing quote":        {[]string{`"abc`}, "", false},
		"an escaped closing":      {[]string{`"abc\"`}, "", false},
		"a quote within":          {[]string{`"a"b"`}, "", false},
		"an escape of nothing":    {[]string{`"a\b"`}, "", false},
		"longer than an id may":   {[]string{strings.Repeat("x", 129)}, "", false},
		"parameters of the field": {[]string{`"k";x=1`}, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := idempotencyKey(&http.Request{Header: http.Header{"Idempotency-Key": tt.values}})
			if got != tt.want || (err == nil) != tt.ok {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
}

func TestTraceParentKeepsOnlyValidOnes(t *testing.T) {
	const valid = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	for name, tt := range map[string]struct {
		in   string
		kept bool
	}{
		"valid":                        {valid, true},
		"a later version":              {"01" + valid[2:], true},
		"a later version with more":    {"01" + valid[2:] + "-what-ever", true},
		"version 00 with more":         {valid + "-x", false},
		"a later version run on":       {"01" + valid[2:] + "x", false},
		"version ff":                   {"ff" + valid[2:], false},
		"nothing":                      {"", false},
		"cut off":                      {valid[:54], false},
		"upper case":                   {strings.ToUpper(valid), false},
		"no trace":                     {"00-" + strings.Repeat("0", 32) + valid[35:], false},
		"no parent":                    {valid[:36] + strings.Repeat("0", 16) + valid[52:], false},
		"other separators":             {strings.ReplaceAll(valid, "-", "_"), false},
		"a line feed":                  {"01" + valid[2:] + "-\n", false},
		"a later version without end":  {"01" + valid[2:] + "-" + strings.Repeat("a", 100), false},
		"not hex":                      {"00-" + strings.Repeat("g", 32) + valid[35:], false},
		"a dash where a digit must be": {"00-0af765191-cd43dd8448eb211c80319c-b7ad6b7169203331-01", false},
	} {
		t.Run(name, func(t *testing.T) {
			want := ""
			if tt.kept {
				want = tt.in
			}
			if got := traceParent(tt.in); got != want {
				t.Errorf("traceParent(%q) = %q", tt.in, got)
			}
		})
	}
}

func FuzzHeaders(f *testing.F) {
	f.Add(`"a\"b"`, "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "text/*;q=0.5, text/event-stream;q=0")
	f.Add(`"\`, "01-", ",;q=,")
	f.Fuzz(func(t *testing.T, key, trace, accept string) {
		if got, err := idempotencyKey(&http.Request{Header: http.Header{"Idempotency-Key": {key}}}); err == nil && (got == "" || len(got) > 128) {
			t.Errorf("key %q gives %q", key, got)
		}
		if got := traceParent(trace); got != "" && (got != trace || len(got) < 55) {
			t.Errorf("traceparent %q gives %q", trace, got)
		}
		accepts([]string{accept}, "text", "event-stream")
	})
}

func TestAcceptLetsTheMostSpecificRangeDecide(t *testing.T) {
	for name, tt := range map[string]struct {
		accept []string
		want   bool
	}{
		"none":                      {nil, true},
		"the type":                  {[]string{"text/event-stream"}, true},
		"in capitals":               {[]string{"Text/Event-Stream"}, true},
		"curl's":                    {[]string{"*/*"}, true},
		"any text":                  {[]string{"text/*;q=0.1"}, true},
		"JSON":                      {[]string{"application/json"}, false},
		"a browser's page":          {[]string{"text/html,application/xhtml+xml,*/*;q=0.8"}, true},
		"excluded by name":          {[]string{"*/*, text/event-stream;q=0"}, false},
		"excluded by name, swapped": {[]string{"text/event-stream;q=0, */*"}, false},
		"included by name":          {[]string{"text/event-stream;q=0.001, text/*;q=0, */*;q=0"}, true},
		"in the second line":        {[]string{"application/json", "text/event-stream"}, true},
		"a broken weight":           {[]string{"text/event-stream;q=much"}, false},
		"nonsense":                  {[]string{";;,"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := accepts(tt.accept, "text", "event-stream"); got != tt.want {
				t.Errorf("accepts(%q) = %v", tt.accept, got)
			}
		})
	}
}

func TestAcceptEncodingDecidesAboutGzip(t *testing.T) {
	for header, want := range map[string]bool{
		"": false, "gzip": true, "GZIP;q=0.5": true, "gzip, deflate, br, zstd": true, "br, x-gzip": true, "*": true, "*;q=0.1, br": true,
		"gzip;q=0": false, "gzip; q=0.000, *": false, "*, gzip;q=0": false, "*;q=0": false, "identity": false, "gzip;q=often": false, "deflate": false,
	} {
		if got := acceptsGzip([]string{header}); got != want {
			t.Errorf("%q: %t, want %t", header, got, want)
		}
	}
	if acceptsGzip(nil) || !acceptsGzip([]string{"br", "gzip"}) {
		t.Error("no header, or one of two lines")
	}
}

func FuzzAcceptEncoding(f *testing.F) {
	f.Add("gzip;q=0.5, *;q=0")
	f.Add("br,,;q=,gzip;q=x")
	f.Fuzz(func(t *testing.T, header string) {
		if accepted := acceptsGzip([]string{header}); accepted && !strings.Contains(strings.ToLower(header), "gzip") && !strings.Contains(header, "*") {
			t.Errorf("%q names neither gzip nor *", header)
		}
	})
}
