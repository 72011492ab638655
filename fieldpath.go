package roxy

import (
	"fmt"
	"strings"
)

// Bounds of a field path.
const (
	MaxFieldPathBytes = 256
	MaxFieldPathDepth = 16
)

// FieldPath names fields of entities: names from the outside in with dots between, as customer.phone; * stands for any
// name, and a path goes through the elements of arrays by itself. The zero FieldPath names nothing.
type FieldPath struct{ path string }

// ParseFieldPath returns the path written as s, or an error that says what is wrong with it.
func ParseFieldPath(s string) (FieldPath, error) {
	if len(s) > MaxFieldPathBytes {
		return FieldPath{}, fmt.Errorf("field %q: %d bytes, at most %d", clip(s), len(s), MaxFieldPathBytes)
	}
	depth := 0
	for name := range strings.SplitSeq(s, ".") {
		if depth++; depth > MaxFieldPathDepth {
			return FieldPath{}, fmt.Errorf("field %q: more than %d names", clip(s), MaxFieldPathDepth)
		}
		if name == "" {
			return FieldPath{}, fmt.Errorf("field %q: an empty name in the path", clip(s))
		}
		if err := CheckName(name); err != nil {
			return FieldPath{}, fmt.Errorf("field %q: %w", clip(s), err)
		}
	}
	return FieldPath{s}, nil
}

// String returns the path as it was written.
func (p FieldPath) String() string { return p.path }

// Names returns the names of the path, from the outside in.
func (p FieldPath) Names() []string {
	if p.path == "" {
		return nil
	}
	return strings.Split(p.path, ".")
}
