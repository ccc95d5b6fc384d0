package guard_test

import (
	"crypto/rand"
	"crypto/sha256"
	"io"
	"testing"

	"backburn/internal/guard"
)

// The cost of looking for ten secrets in addition to hashing, for contents of 1 MiB.
func BenchmarkScan(b *testing.B) {
	var own []guard.Own
	for range 10 {
		secret := rand.Text() + rand.Text()
		own = append(own, guard.Own{Key: "key", Value: func() string { return secret }})
	}

	g := guard.New(own)
	random := make([]byte, 1<<20)
	_, _ = rand.Read(random)
	var letters []byte
	for len(letters) < 1<<20 {
		letters = append(letters, rand.Text()...)
	}

	for name, content := range map[string][]byte{"bytes": random, "letters": letters} {
		for how, to := range map[string]func() io.Writer{
			"scan": func() io.Writer { return g.Scan() },
			"hash": func() io.Writer { return sha256.New() },
			"both": func() io.Writer { return io.MultiWriter(sha256.New(), g.Scan()) },
		} {
			b.Run(name+"/"+how, func(b *testing.B) {
				b.SetBytes(int64(len(content)))
				for b.Loop() {
					w := to()
					for at := 0; at < len(content); at += 32 << 10 {
						_, _ = w.Write(content[at : at+32<<10])
					}
				}
			})
		}
	}
}
