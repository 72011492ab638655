package main

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
)

func TestEachLineIsAnsweredByOne(t *testing.T) {
	behind := httptest.NewServer(http.NotFoundHandler())
	defer behind.Close()
	in, commands := io.Pipe()
	answers, out := io.Pipe()
	done := make(chan error)
	go func() { done <- run(behind.Listener.Addr().String(), in, out) }()
	lines := bufio.NewReader(answers)
	read := func() (a answer) {
		t.Helper()
		line, err := lines.ReadBytes('\n')
		if err == nil {
			err = json.Unmarshal(line, &a)
		}
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		return a
	}
	address := read().Address
	for _, tt := range []struct{ command, want string }{
		{`{"faults":[{"match":"GET /teapot","answer":{"status":418}}]}`, ""},
		{`{"faults":[{"match":"GET /teapot","answer":{"state":418}}]}`, `unknown object member name "state" within "/faults/0/answer"`},
		{`{"freeze":{"match":"GET /nothing"}}`, ""},
		{`{"freeze":{"match":"nothing"}}`, `freeze.match: "nothing", want a method and how a path begins, such as "GET /v1/stream"`},
		{`{"cut":{"end":"off"}}`, `end: "off", want "fin" or "rst"`},
		{`{"thaw":{"most":-1}}`, `thaw.most: -1, want at least 0`},
		{`{"mend":{}}`, ""},
		{`{"faults":[{"match":"GET /teapot","answer":{"status":418}}]}`, ""},
		{`{"refuse":false}`, ""},
		{`{"refuse":false,"log":0}`, `2 of faults, mend, cut, freeze, thaw, refuse and log, want one`},
		{`{}`, `0 of faults, mend, cut, freeze, thaw, refuse and log, want one`},
		{`{"log":1}`, `log: 1, want 0 to 0`},
	} {
		_, _ = fmt.Fprintln(commands, tt.command)
		if a := read(); !strings.HasSuffix(a.Error, tt.want) || tt.want == "" && a.Error != "" {
			t.Errorf("%s: %q, want %q", tt.command, a.Error, tt.want)
		}
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+"/~me/teapot", nil)
	if err != nil {
		t.Fatal(err)
	}
	got, err := http.DefaultClient.Do(request)
	if err != nil || got.StatusCode != http.StatusTeapot {
		t.Fatalf("the script was not followed: %v", err)
	}
	_ = got.Body.Close()
	_, _ = fmt.Fprintln(commands, `{"log":0}`)
	if a := read(); a.Count != 1 || a.Requests[0].Client != "me" || a.Requests[0].Path != "/teapot" || a.Requests[0].Status != 418 {
		t.Errorf("the log: %+v", a)
	}
	_ = commands.Close()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
