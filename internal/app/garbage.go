package app

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"

	"backburn/pipeline"
)

const (
	maxGarbage      = 128 << 20 // bytes
	garbageInterval = time.Second
)

// limitGarbage limits the garbage of the process to about maxGarbage, or to 20 % of the live memory
// if that is more, until ctx ends. The runtime would let as much garbage accumulate as there is
// live memory, and so nearly double the memory of a leader with a million waiting jobs.
// limitGarbage does nothing if the operator has set GOGC.
func limitGarbage(ctx context.Context) error {
	if os.Getenv("GOGC") != "" {
		return nil
	}

	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	percent := 100 // the runtime's default
	for pipeline.Sleep(ctx, garbageInterval) == nil {
		metrics.Read(live)
		if p := gcPercent(live[0].Value.Uint64()); p != percent {
			percent = p
			debug.SetGCPercent(p)
		}
	}

	return nil
}

// gcPercent returns the garbage that may accumulate beside live bytes, in percent of them. It is a
// multiple of 10, so that it changes rarely: every change stops the program for a moment.
func gcPercent(live uint64) int {
	const lowest = 20 // less would cost too much time

	p := int(100 * maxGarbage / max(live, maxGarbage))

	return max(p-p%10, lowest)
}
