package bar

import (
	_ "embed"
	"fmt"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

//go:embed menu.json
var menu []byte

// Thing is an entity that is there before the first guest.
type Thing struct {
	Topic string         `json:"topic"`
	Data  jsontext.Value `json:"data"`
}

// Menu returns the products of menu.json.
func Menu() ([]Thing, error) {
	var things []Thing
	if err := json.Unmarshal(menu, &things, json.RejectUnknownMembers(true)); err != nil {
		return nil, fmt.Errorf("menu.json: %w", err)
	}
	return things, nil
}
