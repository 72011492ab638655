package roxy

import (
	"encoding/json"
	"testing"
	"time"
)

func TestAnAuditRowHasOneSpelling(t *testing.T) {
	at := time.Date(2026, 11, 24, 19, 0, 0, 120_000, time.FixedZone("", 3600))
	for name, tt := range map[string]struct {
		row  AuditRow
		want string
	}{
		"what says nothing is left out": {
			AuditRow{Seq: 1, Time: at, Kind: AuditConnect},
			`{"seq":1,"time":"2026-11-24T18:00:00.00012Z","kind":"connect"}`,
		},
		"the order is fixed": {
			AuditRow{
				Seq: 2, Time: at, Event: "e.1", Kind: AuditDelivery, User: "u", Device: "d", Connection: "c", Topic: "t", Type: "y", Correlation: "k",
				Reason: "r", Member: "m", Transport: "sse", Remote: "::1", Mutation: "x", Version: 3, Attempt: 4, Count: 5, Detail: "z",
			},
			`{"seq":2,"time":"2026-11-24T18:00:00.00012Z","event":"e.1","kind":"delivery","user":"u","device":"d","connection":"c","topic":"t","type":"y",` +
				`"correlation":"k","reason":"r","member":"m","transport":"sse","remote":"::1","mutation":"x","version":3,"attempt":4,"count":5,"detail":"z"}`,
		},
		"only what must be is escaped": {
			AuditRow{Seq: 3, Time: at, Kind: AuditAdmin, Detail: "<a href=\"\\\">é\u2028/\n\x7f\xff"},
			`{"seq":3,"time":"2026-11-24T18:00:00.00012Z","kind":"admin","detail":"<a href=\"\\\">é` + "\u2028/" + `\u000a` + "\x7f\uFFFD" + `"}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := tt.row.AppendJSON(nil)
			if string(got) != tt.want || !json.Valid(got) {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
			entry := AuditEntry{Seq: tt.row.Seq, JSON: got, Hash: AuditGenesis("bar").Next(got)}
			back, row, err := ParseAuditLine(entry.AppendLine(nil))
			if err != nil || string(back.JSON) != tt.want || back.Hash != entry.Hash || row.Seq != tt.row.Seq {
				t.Errorf("%s became %s: %v", entry.AppendLine(nil), back.JSON, err)
			}
		})
	}
}

func TestAnAuditRowIsReadInNoOtherSpelling(t *testing.T) {
	for name, text := range map[string]string{
		"a space":          `{"seq":1, "time":"2026-11-24T18:00:00Z","kind":"connect"}`,
		"another order":    `{"seq":1,"time":"2026-11-24T18:00:00Z","user":"u","kind":"connect"}`,
		"another zone":     `{"seq":1,"time":"2026-11-24T19:00:00+01:00","kind":"connect"}`,
		"an escape":        `{"seq":1,"time":"2026-11-24T18:00:00Z","kind":"\u0063onnect"}`,
		"a member twice":   `{"seq":1,"time":"2026-11-24T18:00:00Z","kind":"connect","user":"a","user":"b"}`,
		"an empty member":  `{"seq":1,"time":"2026-11-24T18:00:00Z","kind":"connect","user":""}`,
		"a foreign member": `{"seq":1,"time":"2026-11-24T18:00:00Z","kind":"connect","token":"x"}`,
		"something behind": `{"seq":1,"time":"2026-11-24T18:00:00Z","kind":"connect"} `,
		"nothing":          ``,
	} {
		if row, err := ParseAuditRow([]byte(text)); err == nil {
			t.Errorf("%s: %+v", name, row)
		}
	}
}

func FuzzParseAuditLine(f *testing.F) {
	row := AuditRow{Seq: 7, Time: time.Unix(1, 5), Kind: AuditAck, User: "u\"7", Event: "e.1", Attempt: 2}
	entry := AuditEntry{JSON: row.AppendJSON(nil)}
	f.Add(entry.AppendLine(nil))
	f.Add([]byte(`{"seq":1,"hash":""}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		entry, row, err := ParseAuditLine(line)
		if err != nil {
			return
		}
		if string(entry.AppendLine(nil)) != string(line) || string(row.AppendJSON(nil)) != string(entry.JSON) {
			t.Fatalf("%s became %s", line, entry.AppendLine(nil))
		}
	})
}
