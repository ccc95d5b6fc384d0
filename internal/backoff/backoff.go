// Package backoff computes the delays between attempts: they double, and are random enough that
// processes that failed together do not try again together.
package backoff

import (
	"math/rand/v2"
	"time"
)

// Delay returns a random delay from d/2 to d, where d is low doubled once for each earlier delay,
// at most high.
func Delay(earlier int, low, high time.Duration) time.Duration {
	return Jittered(Doubled(earlier, low, high))
}

// Doubled returns low doubled the given number of times, at most high. It is not random.
func Doubled(times int, low, high time.Duration) time.Duration {
	for ; times > 0 && low < high; times-- {
		low *= 2
	}

	return min(low, high)
}

// Jittered returns a random duration in the upper half of d.
func Jittered(d time.Duration) time.Duration { return UpperHalf(d, rand.Float64()) }

// UpperHalf is Jittered with a given random number, from 0 to 1.
func UpperHalf(d time.Duration, random float64) time.Duration {
	return d/2 + time.Duration(random*float64(d-d/2))
}
