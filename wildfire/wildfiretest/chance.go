package wildfiretest

import (
	"hash/fnv"
	"time"
)

// delayOf is the server's delay with the sample's own part of the jitter.
func (s *Server) delayOf(sha256 string) time.Duration {
	if s.jitter <= 0 {
		return s.delay
	}
	return s.delay + time.Duration(s.chance("delay", sha256)*float64(s.jitter))
}

// chance is a number in [0,1) that depends on the seed and the given words alone, and so not on the
// order in which concurrent calls arrive.
func (s *Server) chance(about ...string) float64 {
	sum := fnv.New64a()
	for i := range 8 {
		_, _ = sum.Write([]byte{byte(s.seed >> (8 * i))})
	}
	for _, word := range about {
		_, _ = sum.Write([]byte(word))
		_, _ = sum.Write([]byte{0})
	}
	// FNV's high bits move little for short inputs; a multiplication spreads them (splitmix64).
	x := sum.Sum64()
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return float64((x^x>>31)>>11) / (1 << 53)
}
