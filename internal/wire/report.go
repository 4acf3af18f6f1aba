package wire

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"time"

	"holdfast/internal/build"
	"holdfast/internal/verdicts"
)

// reportState writes every now and then how verification is in this worker, until
// ctx is done.
func (r *App) reportState(ctx context.Context) {
	host, _ := os.Hostname() // without a name the process has to do
	worker := fmt.Sprintf("%s/%d", host, os.Getpid())
	ticker := time.NewTicker(verdicts.ReportEvery)
	defer ticker.Stop()
	for {
		if v := r.verification.Load(); v != nil {
			if err := verdicts.ReportWorker(ctx, r.Pool, v.state(worker)); err != nil && ctx.Err() == nil {
				r.Log.Warn("The state of verification is not reported.", "error", err)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

func (v *Verification) state(worker string) verdicts.WorkerState {
	s := verdicts.WorkerState{Worker: worker, Build: build.Read().ID()}
	for _, step := range v.steps {
		s.Verifiers = append(s.Verifiers, step.name)
		if step.closed() {
			s.Closed = append(s.Closed, step.name)
		}
	}
	if v.engine == nil {
		return s
	}
	load := v.engine.Load()
	s.Sessions, s.Waiting = load.Sessions, load.Waiting
	for _, name := range slices.Sorted(maps.Keys(load.Resting)) {
		if load.Resting[name] {
			s.Resting = append(s.Resting, name)
		}
	}
	return s
}
