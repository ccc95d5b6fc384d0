// Command clamd measures how fast known verdicts are returned over clamd's protocol: answers per
// second to streams of 10 KiB, compared with a minimal server that reads the stream and always
// answers OK. It asks about one file repeatedly, and about many files once each. It also measures
// resident memory with 1,000 idle connections.
//
//	go run ./bench/clamd
package main

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"backburn/bench/internal/resident"
	"backburn/internal/clamd"
	"backburn/internal/judge"
	"backburn/pipeline"
	"backburn/pipeline/queue"
)

const (
	streamSize  = 10 << 10
	idleConns   = 1000
	rounds      = 5
	cacheExpiry = 6 * time.Second // time after which verdicts are cached only in the ledger
)

func main() {
	n := flag.Int("n", 4000, "streams per round")
	flag.Parse()
	if err := measure(*n); err != nil {
		fmt.Fprintln(os.Stderr, "clamd:", err)
		os.Exit(1)
	}
}

func measure(n int) error {
	dir, err := os.MkdirTemp("", "bb")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	ours, stop, err := serve(dir, n)
	if err != nil {
		return err
	}
	defer stop()
	bare, err := startMinimalServer(filepath.Join(dir, "echo"))
	if err != nil {
		return err
	}
	defer bare.Close()

	for _, kind := range []struct {
		name  string
		files int
	}{{"one file, repeatedly", 1}, {"many files, each once", n}} {
		for _, clients := range []int{1, 8} {
			var ratios []float64
			var fast, known float64
			for range rounds {
				if fast, err = measureRequests(bare.Addr().String(), n, clients, kind.files); err != nil {
					return err
				}
				if known, err = measureRequests(ours, n, clients, kind.files); err != nil {
					return err
				}

				ratios = append(ratios, known/fast)
				if kind.files > 1 {
					time.Sleep(cacheExpiry)
				}
			}

			slices.Sort(ratios)
			fmt.Printf("%s, clients=%d: %6.0f verdicts/s of %6.0f/s; ratio %.2f to %.2f, the median %.2f\n",
				kind.name, clients, known, fast, ratios[0], ratios[rounds-1], ratios[rounds/2])
		}
	}

	return measureIdleConnections(ours)
}

// stream returns a request about a file.
func stream(file int) []byte {
	b := binary.BigEndian.AppendUint32([]byte("zINSTREAM\x00"), streamSize)
	b = append(b, strings.Repeat(fmt.Sprintf("%010d", file), streamSize/10)...)

	return append(b, 0, 0, 0, 0)
}

// serve starts a server that knows the verdicts of the streams.
func serve(dir string, n int) (address string, stop func(), err error) {
	ns, err := server.NewServer(&server.Options{
		ServerName: "bench", Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: filepath.Join(dir, "nats"), NoSigs: true, NoLog: true,
	})
	if err != nil {
		return "", nil, err
	}

	ns.Start()
	if !ns.ReadyForConnections(time.Minute) {
		return "", nil, errors.New("the NATS server did not start")
	}

	nc, err := nats.Connect(ns.ClientURL(), nats.InProcessServer(ns)) // as `backburn run` does
	if err != nil {
		return "", nil, err
	}

	ctx, cancel := context.WithCancel(context.Background())
	q, err := queue.Open(ctx, nc, queue.Topology{
		Prefix:   "backburn",
		Replicas: 1,
		Lease:    3 * time.Second,
		Results:  queue.EventLimits{MaxAge: time.Hour, MaxBytes: 64 << 20},
	})
	if err != nil {
		cancel()
		return "", nil, err
	}

	if err := writeVerdicts(ctx, q, n); err != nil {
		cancel()
		return "", nil, err
	}

	cfg := clamd.DefaultConfig()
	cfg.Listen = "unix:" + filepath.Join(dir, "clamd")
	cfg.MaxConnections = 2 * idleConns
	cfg.Wait = 0
	cfg.Unknown = clamd.UnknownError
	s, err := clamd.New(cfg, clamd.Deps{
		Judge:    judge.New(judge.Config{Ledger: q.Ledger(), Intake: q.Publisher(), ReuseDuration: pipeline.DefaultConfig().ReuseDuration}),
		Registry: prometheus.NewRegistry(),
		Log:      zerolog.Nop(),
	})
	if err != nil {
		cancel()
		return "", nil, err
	}

	done := make(chan error, 1)
	go func() { done <- s.Run(ctx, time.Second) }()
	stop = func() {
		cancel()
		<-done
		nc.Close()
		ns.Shutdown()
		ns.WaitForShutdown()
	}

	return s.Addr().String(), stop, nil
}

// writeVerdicts writes the verdicts of the files to the ledger.
func writeVerdicts(ctx context.Context, q *queue.Queue, n int) error {
	for file := range n {
		b := stream(file)
		sum := sha256.Sum256(b[len("zINSTREAM\x00")+4 : len(b)-4])
		_, err := q.Ledger().ChangeSample(ctx, hex.EncodeToString(sum[:]), func(s *pipeline.Sample) bool {
			s.State = pipeline.StateVerdict
			s.CheckedAt = time.Now()
			s.DecidedAt = s.CheckedAt

			return true
		})
		if err != nil {
			return err
		}
	}

	return nil
}

// startMinimalServer is a minimal server of the protocol, which ignores the contents.
func startMinimalServer(path string) (net.Listener, error) {
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}

	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}

			go func() {
				defer c.Close()
				in := bufio.NewReader(c)
				if _, err := in.ReadSlice(0); err != nil {
					return
				}

				var length [4]byte
				for {
					if _, err := io.ReadFull(in, length[:]); err != nil {
						return
					}

					n := binary.BigEndian.Uint32(length[:])
					if n == 0 {
						break
					}
					if _, err := io.CopyN(io.Discard, in, int64(n)); err != nil {
						return
					}
				}

				_, _ = c.Write([]byte("stream: OK\x00"))
			}()
		}
	}()

	return l, nil
}

// measureRequests sends n streams about the given number of files, each on a new connection as most
// clients do, and returns the answers per second.
func measureRequests(address string, n, clients, files int) (float64, error) {
	var all sync.WaitGroup
	faults := make(chan error, clients)
	began := time.Now()
	for client := range clients {
		all.Go(func() {
			for i := range n / clients {
				message := stream((i*clients + client) % files)
				c, err := net.Dial("unix", address)
				if err != nil {
					faults <- err
					return
				}

				_, err = c.Write(message)
				var got []byte
				if err == nil {
					got, err = io.ReadAll(c)
				}

				_ = c.Close()
				if err != nil || string(got) != "stream: OK\x00" {
					faults <- fmt.Errorf("%q: %w", got, err)
					return
				}
			}
		})
	}

	all.Wait()
	took := time.Since(began)
	select {
	case err := <-faults:
		return 0, err
	default:
		return float64(n/clients*clients) / took.Seconds(), nil
	}
}

// measureIdleConnections measures the memory of idle connections. The NATS server and the clients
// also run in this process.
func measureIdleConnections(address string) error {
	before := megabytes()
	for range idleConns {
		c, err := net.Dial("unix", address)
		if err != nil {
			return err
		}
		defer c.Close()
		if _, err := c.Write([]byte("zIDSESSION\x00zPING\x00")); err != nil {
			return err
		}
		if _, err := io.ReadFull(c, make([]byte, len("1: PONG\x00"))); err != nil {
			return err
		}
	}

	fmt.Printf("%d idle connections: %d MB resident, %d MB before, with a NATS server and the clients in the process\n", idleConns, megabytes(), before)

	return nil
}

// megabytes returns the resident memory of this process in MB.
func megabytes() int64 {
	debug.FreeOSMemory()

	return resident.Bytes(os.Getpid()) / 1_000_000
}
