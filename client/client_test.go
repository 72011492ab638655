package client

import (
	"strings"
	"testing"
)

func TestNewRefusesAnAddressThatCannotWork(t *testing.T) {
	for _, url := range []string{"", "hub.example", "ftp://hub.example", "http://", "http://hub.example?ticket=1", "http://u:secret@hub.example", "http://hub.example#x", "http://[::1", "http://u:secret@hub.example:x"} {
		_, err := New(Options{URL: url})
		if err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v", url, err)
		}
	}
}
