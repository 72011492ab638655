package limit

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestAcknowledgeHoldsTheRateOfEachUserAndTellsWhatIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(Options{AckRate: 2, AckBurst: 3})
		for left := 2; left >= 0; left-- {
			state, err := l.Acknowledge("bar", "u7")
			if err != nil || state.Name != AcksPerUser || state.Quota != 3 || state.Remaining != left {
				t.Fatalf("%+v, %v; want %d left", state, err, left)
			}
		}
		_, err := l.Acknowledge("bar", "u7")
		if p := refusal(t, err); p.RetryAfter != 500*time.Millisecond || p.Limit.Name != AcksPerUser {
			t.Fatalf("%+v, %+v", p, p.Limit)
		}
		for _, other := range [][2]string{{"bar", "u8"}, {"pub", "u7"}} {
			if _, err := l.Acknowledge(other[0], other[1]); err != nil {
				t.Fatalf("%v waits for somebody else: %v", other, err)
			}
		}
		time.Sleep(500 * time.Millisecond)
		if _, err := l.Acknowledge("bar", "u7"); err != nil {
			t.Fatalf("when it was told to come back: %v", err)
		}
		if n := l.Stats().Refused[AcksPerUser]; n != 1 {
			t.Fatalf("counted %d refusals", n)
		}
	})
}
