package auth_test

import (
	"runtime"
	"testing"

	"backburn/auth"
)

// BenchmarkToken is the path of every request of every worker: a fresh token, 64 goroutines.
func BenchmarkToken(b *testing.B) {
	s, err := auth.New(wildfireProfile(), auth.WithTransport(newImmediate()))
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	ctx := b.Context()
	if _, err := s.Token(ctx); err != nil {
		b.Fatal(err)
	}

	b.SetParallelism(max(1, 64/runtime.GOMAXPROCS(0)))
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := s.Token(ctx); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

// TestTokenAllocatesNothing pins what the benchmark measures and a machine's speed does not
// change.
func TestTokenAllocatesNothing(t *testing.T) {
	s := open(t, wildfireProfile(), auth.WithTransport(newImmediate()))
	ctx := t.Context()
	token(t, s)
	if n := testing.AllocsPerRun(1000, func() { _, _ = s.Token(ctx) }); n != 0 {
		t.Errorf("%v allocations a call, want none", n)
	}
}
