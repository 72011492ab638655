package e2e

import (
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
)

// The checks of TestMutationsAreLinearizableThroughCutsAndKills tell histories that no hub may produce.
func TestHistoriesWithAFaultAreTold(t *testing.T) {
	put := &write{ID: "a", Op: "put", Topic: "orders/1", Fields: map[string]string{"note": "none", "status": "new"}, Guard: "none", User: "ann", Device: "a", Seq: 1}
	ready := &write{ID: "b", Op: "patch", Topic: "orders/1", Fields: map[string]string{"status": "ready"}, Guard: "fields", Base: 1, User: "ben", Device: "b", Seq: 1}
	paid := &write{ID: "c", Op: "patch", Topic: "orders/1", Fields: map[string]string{"status": "paid"}, Guard: "fields", Base: 1, User: "ann", Device: "a", Seq: 2}
	more := &write{ID: "d", Op: "patch", Topic: "orders/1", Fields: map[string]string{"note": "ice"}, Guard: "fields", Base: 1, User: "ann", Device: "a", Seq: 3}
	at := func(n int64, in any, out verdict) porcupine.Operation {
		return porcupine.Operation{Input: in, Output: out, Call: 10 * n, Return: 10*n + 5}
	}
	committed := func(version uint64) verdict { return verdict{Outcome: "committed", Version: version} }
	clash := verdict{Outcome: "version-conflict", Clash: []string{"status"}}
	found := func(version uint64, fields map[string]string) verdict {
		return verdict{Outcome: "found", Version: version, Fields: fields}
	}
	for name, tt := range map[string]struct {
		history []porcupine.Operation
		is      porcupine.CheckResult
		lost    int
	}{
		"as it should be": {[]porcupine.Operation{
			at(1, put, committed(1)), at(2, ready, committed(2)), at(3, paid, clash), at(4, more, committed(3)),
			at(5, reading{"orders/1"}, found(3, map[string]string{"note": "ice", "status": "ready"})),
		}, porcupine.Ok, 0},
		"a lost update":              {[]porcupine.Operation{at(1, put, committed(1)), at(2, ready, committed(2)), at(3, paid, committed(3))}, porcupine.Illegal, 1},
		"a conflict that was none":   {[]porcupine.Operation{at(1, put, committed(1)), at(2, ready, clash)}, porcupine.Illegal, 0},
		"a conflict of other fields": {[]porcupine.Operation{at(1, put, committed(1)), at(2, ready, committed(2)), at(3, paid, verdict{Outcome: "version-conflict", Clash: []string{"note"}})}, porcupine.Illegal, 0},
		"a version that two made":    {[]porcupine.Operation{at(1, put, committed(1)), at(2, ready, committed(2)), at(3, more, committed(2))}, porcupine.Illegal, 1},
		"a version that nobody made": {[]porcupine.Operation{at(1, put, committed(1)), at(2, ready, committed(3))}, porcupine.Illegal, 1},
		"a commit that was undone": {[]porcupine.Operation{
			at(1, put, committed(1)), at(2, ready, committed(2)), at(3, reading{"orders/1"}, found(2, map[string]string{"note": "none", "status": "new"})),
		}, porcupine.Illegal, 0},
		"a cancelled mutation that committed": {[]porcupine.Operation{
			at(1, put, committed(1)), at(2, ready, verdict{Outcome: "cancelled"}), at(3, reading{"orders/1"}, found(2, map[string]string{"note": "none", "status": "ready"})),
		}, porcupine.Illegal, 0},
	} {
		t.Run(name, func(t *testing.T) {
			if is := theRules().linearizable(tt.history, time.Minute); is != tt.is {
				t.Errorf("linearizable: %s, want %s", is, tt.is)
			}
			if lost := lostUpdates(tt.history); len(lost) != tt.lost {
				t.Errorf("lost updates: %q, want %d", lost, tt.lost)
			}
		})
	}
}
