package wildfiretest

import (
	"hash/fnv"
	"time"
)

// delayOf returns the server's delay plus the sample's share of the jitter.
func (s *Server) delayOf(sha256 string) time.Duration {
	if s.jitter <= 0 {
		return s.delay
	}
	return s.delay + time.Duration(s.chance("delay", sha256)*float64(s.jitter))
}

// chance returns a number in [0,1) that depends only on the seed and the given words, and not on
// the order of concurrent calls.
func (s *Server) chance(about ...string) float64 {
	sum := fnv.New64a()
	for i := range 8 {
		_, _ = sum.Write([]byte{byte(s.seed >> (8 * i))})
	}

	for _, word := range about {
		_, _ = sum.Write([]byte(word))
		_, _ = sum.Write([]byte{0})
	}

	// FNV's high bits change little for short inputs; the multiplication of splitmix64 spreads
	// them.
	x := sum.Sum64()
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb

	return float64((x^x>>31)>>11) / (1 << 53)
}
