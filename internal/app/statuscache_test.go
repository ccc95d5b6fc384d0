package app_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"backburn/internal/app"
	"backburn/pipeline/queue"
)

func TestManyWhoAskCostOneLook(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var looks int
		var fault error
		f := app.NewStatusCache(func(context.Context) (queue.Status, error) {
			time.Sleep(100 * time.Millisecond)
			looks++

			return queue.Status{Queued: queue.WaitStatus{Jobs: looks}}, fault
		})
		ask := func(maxAge time.Duration) (int, error) {
			st, err := app.CachedStatus(f, t.Context(), maxAge)
			return st.Queued.Jobs, err
		}
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() {
				if n, err := ask(time.Second); n != 1 || err != nil {
					t.Errorf("got look %d, %v", n, err)
				}
			})
		}

		all.Wait()
		for _, step := range []struct {
			after, maxAge time.Duration
			want          int
		}{
			{900 * time.Millisecond, time.Second, 1},
			{200 * time.Millisecond, time.Second, 2},
			{4 * time.Second, 5 * time.Second, 2},
			{2 * time.Second, 5 * time.Second, 3},
		} {
			time.Sleep(step.after)
			if n, err := ask(step.maxAge); n != step.want || err != nil {
				t.Errorf("after %s more, up to %s old: look %d, %v; want %d", step.after, step.maxAge, n, err, step.want)
			}
		}

		fault = errors.New("NATS is unreachable")
		time.Sleep(time.Minute)
		for range 2 { // the second is told what the first learned
			if n, err := ask(time.Second); n != 4 || !errors.Is(err, fault) {
				t.Errorf("look %d, %v", n, err)
			}
		}
	})
}

func TestWhoIsImpatientLearnsNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		f := app.NewStatusCache(func(ctx context.Context) (queue.Status, error) {
			select {
			case <-release:
				return queue.Status{Queued: queue.WaitStatus{Jobs: 7}}, nil
			case <-ctx.Done():
				return queue.Status{}, ctx.Err()
			}
		})
		gone, leave := context.WithCancel(t.Context())
		var all sync.WaitGroup
		all.Go(func() {
			if _, err := app.CachedStatus(f, gone, time.Hour); !errors.Is(err, context.Canceled) {
				t.Errorf("who asks and leaves gets %v", err)
			}
		})
		synctest.Wait()
		all.Go(func() {
			if _, err := app.CachedStatus(f, gone, time.Hour); !errors.Is(err, context.Canceled) {
				t.Errorf("who waits and leaves gets %v", err)
			}
		})
		synctest.Wait()
		leave()
		all.Wait()
		close(release)
		if st, err := app.CachedStatus(f, t.Context(), time.Hour); st.Queued.Jobs != 7 || err != nil {
			t.Errorf("the next gets %d, %v", st.Queued.Jobs, err)
		}
	})
}
