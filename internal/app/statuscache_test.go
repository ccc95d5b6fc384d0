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

func TestConcurrentCallersShareOneRead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var reads int
		var fault error
		f := app.NewStatusCache(func(context.Context) (queue.Status, error) {
			time.Sleep(100 * time.Millisecond)
			reads++

			return queue.Status{Queued: queue.WaitStatus{Jobs: reads}}, fault // the number of the read
		})
		ask := func(maxAge time.Duration) (int, error) {
			st, err := app.CachedStatus(f, t.Context(), maxAge)
			return st.Queued.Jobs, err
		}
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() {
				if n, err := ask(time.Second); n != 1 || err != nil {
					t.Errorf("got the result of read %d, error %v; want read 1", n, err)
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
				t.Errorf("%s later, with a maximum age of %s: got the result of read %d, error %v; want read %d", step.after, step.maxAge, n, err, step.want)
			}
		}

		fault = errors.New("NATS is unreachable")
		time.Sleep(time.Minute)
		for range 2 { // the second call gets the cached error of the first
			if n, err := ask(time.Second); n != 4 || !errors.Is(err, fault) {
				t.Errorf("got the result of read %d, error %v; want read 4 and the fault", n, err)
			}
		}
	})
}

func TestACanceledReadIsNotCached(t *testing.T) {
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
		canceled, cancel := context.WithCancel(t.Context())
		var all sync.WaitGroup
		all.Go(func() {
			if _, err := app.CachedStatus(f, canceled, time.Hour); !errors.Is(err, context.Canceled) {
				t.Errorf("the canceled reader got %v", err)
			}
		})
		synctest.Wait()
		all.Go(func() {
			if _, err := app.CachedStatus(f, canceled, time.Hour); !errors.Is(err, context.Canceled) {
				t.Errorf("the canceled waiter got %v", err)
			}
		})
		synctest.Wait()
		cancel()
		all.Wait()
		close(release)
		if st, err := app.CachedStatus(f, t.Context(), time.Hour); st.Queued.Jobs != 7 || err != nil {
			t.Errorf("the next caller got %d jobs, error %v; want 7", st.Queued.Jobs, err)
		}
	})
}
