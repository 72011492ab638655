package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/roxyhub/roxy/internal/testkit"
)

// A native WebSocket in Chromium, by the cookie or by a ticket, is agreed on compression, subscribes, publishes, hears
// every event once and in order, long ones that come compressed too, and the hub's goodbye by its close code.
func TestChromiumWebSocket(t *testing.T) {
	for _, way := range []string{"cookie", "ticket"} {
		t.Run(way, func(t *testing.T) {
			reports := make(chan report, 1000)
			var token atomic.Pointer[string]
			page := servePage(t, "testdata/websocket.html", &token, reports)
			hub := testkit.Start(t, testkit.Config{YAML: "cors: { origins: [\"" + page.URL + "\"] }\n"})
			cook := hub.Token(t, testkit.Claims{User: "cook", Roles: []string{"kitchen"}})
			admin := hub.Token(t, testkit.Claims{User: "boss", Roles: []string{"everything"}})
			socket := strings.Replace(hub.URL, "http://", "ws://", 1) + "/v1/ws"
			if way == "cookie" {
				token.Store(&cook)
			} else {
				socket += "?ticket=" + ticket(t, hub.URL, cook)
			}
			mustPublish(t, hub.URL, admin, `{"topic":"orders/0","type":"order:new","data":{"n":0}}`)
			browse(t, page.URL+"/?"+url.Values{"socket": {socket}, "say": {
				`{"op":"subscribe","ref":"s","topic":["orders/*"],"after":"earliest"}`,
				`{"op":"publish","ref":"p","events":{"topic":"orders/1","type":"order:new","data":{"n":1}}}`,
				`{"op":"publish","ref":"q","events":{"topic":"payments/1","data":"not for the kitchen"}}`,
			}}.Encode())
			if opened := next(t, reports); opened.Type != "open" || opened.ID != "roxy.v1.json" || !strings.Contains(opened.Data, "permessage-deflate") {
				t.Fatalf("got %+v", opened)
			}
			const n = 60
			answers := make(map[string]string)
			live := false
			for want := 0; want < n || len(answers) < 3; {
				r := next(t, reports)
				switch r.Type {
				case "answer":
					answers[r.ID] = r.Data
				case "roxy:live":
					live = true
				case "order:new":
					got := data[struct {
						N     int
						Lines []string
					}](t, frame{Data: r.Data})
					if got.N != want || want > 1 && len(got.Lines) != 40*want {
						t.Fatalf("got order %d with %d lines, want %d", got.N, len(got.Lines), want)
					}
					if want++; want == 2 {
						for i := want; i < n; i++ {
							lines := strings.TrimSuffix(strings.Repeat(`"beer",`, 40*i), ",")
							mustPublish(t, hub.URL, admin, fmt.Sprintf(`{"topic":"orders/%d","type":"order:new","data":{"n":%d,"lines":[%s]}}`, i, i, lines))
						}
					}
				case "close", "roxy:bye", "roxy:reset", "message":
					t.Fatalf("unexpected %+v", r)
				}
			}
			if !live || !strings.Contains(answers["s"], `"ok":true`) || !strings.Contains(answers["p"], `"ok":true`) || !strings.Contains(answers["q"], `"forbidden"`) {
				t.Errorf("live %t, answers %v", live, answers)
			}
			hub.Stop(t)
			await(t, reports, "roxy:bye")
			if r := next(t, reports); r.Type != "close" || r.ID != "1012" || r.Data != "drain" {
				t.Errorf("got %+v", r)
			}
		})
	}
}

// ticket buys a ticket.
func ticket(t *testing.T, hubURL, token string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, hubURL+"/v1/tickets", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	var bought struct{ Ticket string }
	text, err := io.ReadAll(resp.Body)
	if err != nil || json.Unmarshal(text, &bought) != nil || bought.Ticket == "" {
		t.Fatalf("%s: %s, %v", resp.Status, text, err)
	}
	return bought.Ticket
}
