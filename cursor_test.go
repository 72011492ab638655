package roxy

import "testing"

func TestParseCursorHasOneSpellingForEach(t *testing.T) {
	for in, ok := range map[string]bool{
		"k3x9.1234":                           true,
		"a.0":                                 true,
		"a.18446744073709551615":              true,
		"a.18446744073709551616":              false,
		"":                                    false,
		"a":                                   false,
		".1":                                  false,
		"a.":                                  false,
		"a.01":                                false,
		"a.+1":                                false,
		"a.-1":                                false,
		"a.1.2":                               false,
		"A.1":                                 false,
		"a b.1":                               false,
		"abcdefghijklmnopqrstuvwxyz0123456.1": false,
	} {
		c, err := ParseCursor(in)
		if (err == nil) != ok {
			t.Errorf("%q: %v, %v", in, c, err)
		}
		if err == nil && c.String() != in {
			t.Errorf("%q came back as %q", in, c)
		}
	}
}

func FuzzParseCursor(f *testing.F) {
	f.Add("k3x9.1234")
	f.Add("a.00")
	f.Fuzz(func(t *testing.T, s string) {
		if c, err := ParseCursor(s); err == nil && c.String() != s {
			t.Fatalf("%q came back as %q", s, c)
		}
	})
}
