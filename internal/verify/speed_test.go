package verify_test

import (
	"context"
	"testing"
	"time"

	"holdfast/internal/maillab"
	"holdfast/internal/verify"
)

func TestSpeedTmp(t *testing.T) {
	l := newLab(t, maillab.Config{}, nil)
	emails := l.World().Emails(10000, 0.5)
	start := time.Now()
	n := map[verify.Reason]int{}
	if err := l.engine.Verify(context.Background(), emails, func(i int, r verify.Result) {
		n[r.Reason]++
		if false {
		}
	}); err != nil {
		t.Fatal(err)
	}
	t.Log(time.Since(start), l.engine.Stats(), n)
}
