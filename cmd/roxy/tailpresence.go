package main

import (
	"fmt"
	"time"

	"github.com/roxyhub/roxy/client"
)

// presentLine is a client.Presence in a line of --json.
type presentLine struct {
	All     bool            `json:"all,omitempty"` // joined is everybody who is present
	Settles *time.Time      `json:"settles,omitempty"`
	Joined  []presentDevice `json:"joined"`
	Left    []presentDevice `json:"left"`
}

type presentDevice struct {
	User   string     `json:"user"`
	Device string     `json:"device,omitempty"`
	Since  *time.Time `json:"since,omitempty"`
	Until  *time.Time `json:"until,omitempty"`
	Others *int       `json:"others,omitempty"` // none with all
}

func (p *printer) presence(m client.Presence) error {
	if p.json {
		line := presentLine{All: m.All, Joined: []presentDevice{}, Left: []presentDevice{}}
		if !m.Settles.IsZero() {
			line.Settles = &m.Settles
		}
		for _, d := range m.Joined {
			device := presentDevice{User: d.User, Device: d.Device, Since: &d.Since}
			if !m.All {
				device.Others = &d.Others
			}
			line.Joined = append(line.Joined, device)
		}
		for _, d := range m.Left {
			line.Left = append(line.Left, presentDevice{User: d.User, Device: d.Device, Until: &d.Until, Others: &d.Others})
		}
		return p.line(printed{Presence: &line})
	}
	joined := "joined"
	if m.All {
		joined = "present"
		_, _ = fmt.Fprintf(p.notes, "roxy: present are %d:\n", len(m.Joined))
		if !m.Settles.IsZero() {
			_, _ = fmt.Fprintf(p.notes, "roxy: the hub has just begun: until %s somebody may not be back yet\n", m.Settles.Local().Format(time.TimeOnly))
		}
	}
	for _, d := range m.Joined {
		if err := p.presenceRow(d.Since, joined, d); err != nil {
			return err
		}
	}
	for _, d := range m.Left {
		if err := p.presenceRow(d.Until, "left", d); err != nil {
			return err
		}
	}
	return nil
}

// presenceRow prints one device for people, with the time from or until which it was present.
func (p *printer) presenceRow(at time.Time, what string, d client.PresenceChange) error {
	by, others := "", ""
	if d.Device != "" {
		by = " by " + d.Device
	}
	if d.Others > 0 {
		others = fmt.Sprintf(" (present by %d more)", d.Others)
	}
	_, err := fmt.Fprintf(p.out, "%s  %-8s %s%s%s\n", at.Local().Format("15:04:05.000"), what, d.User, by, others)
	return err
}
