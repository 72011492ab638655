// Package enginetest holds the contract of package engine as tests. A new engine passes all of them before anything
// uses it; they take a constructor and nothing else, so that no engine is tested by rules of its own.
package enginetest

import (
	"testing"

	"github.com/roxyhub/roxy/engine"
)

// TrimmableLog is a log that can be made to forget.
type TrimmableLog interface {
	engine.Log
	engine.Trimmer
}

// Log runs the contract of engine.Log against what open returns: an engine of its own each time, empty, and closed
// by t's cleanup.
func Log(t *testing.T, open func(t *testing.T) engine.Log) {
	t.Helper()
	for _, law := range logLaws() {
		t.Run(law.name, func(t *testing.T) { law.holds(t, open(t)) })
	}
}

// Trimmer runs the contract of engine.Trimmer against what open returns, as Log does.
func Trimmer(t *testing.T, open func(t *testing.T) TrimmableLog) {
	t.Helper()
	for _, law := range trimLaws() {
		t.Run(law.name, func(t *testing.T) { law.holds(t, open(t)) })
	}
}

type law[L engine.Log] struct {
	name  string
	holds func(t *testing.T, log L)
}
