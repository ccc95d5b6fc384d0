// Command tokens uploads from many slots of several processes over many lifetimes of the access
// token, and prints the number of token requests. There should be one request for each token,
// whatever the number of slots and processes, and no upload should fail when the token changes.
//
//	go run ./bench/tokens
//	go run ./bench/tokens -lifetime 20s -for 2m -processes 4 -slots 16
//
// A token is renewed after 80 % to 90 % of its life. A process that got the token from another one
// takes off a tenth of its life, because it measures the token's age with the wall clock.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"backburn/internal/testkit"
)

const childFlag = "-child"

func main() {
	var c benchmark
	flag.IntVar(&c.Processes, "processes", 4, "processes, each with its own connection and token source")
	flag.IntVar(&c.Slots, "slots", 16, "concurrent uploads in each")
	flag.DurationVar(&c.Lifetime, "lifetime", 15*time.Second, "of a token")
	flag.DurationVar(&c.For, "for", 75*time.Second, "how long")
	child := flag.Bool(childFlag[1:], false, "run as one of the processes")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if *child {
		if err := upload(ctx); err != nil {
			fmt.Fprintln(os.Stderr, "tokens:", err)
			os.Exit(1)
		}

		return
	}

	ok := testkit.Alone(ctx, os.Stdout, func(t testing.TB) {
		r := c.run(t, testkit.StartNATS(t, &server.Options{}).ClientURL(), process)
		fmt.Println(r)
		r.check(t)
	})
	if !ok {
		stop()
		os.Exit(1)
	}
}

// upload runs as a child: it reads its order from standard input, and writes its outcome to
// standard output.
func upload(ctx context.Context) error {
	var o processInput
	if err := json.NewDecoder(os.Stdin).Decode(&o); err != nil {
		return err
	}
	done, err := o.upload(ctx)
	if err != nil {
		return err
	}

	return json.NewEncoder(os.Stdout).Encode(done)
}

// process runs an order in a child process.
func process(ctx context.Context, o processInput) (processResult, error) {
	self, err := os.Executable()
	if err != nil {
		return processResult{}, err
	}

	told, err := json.Marshal(o)
	if err != nil {
		return processResult{}, err
	}

	cmd := exec.CommandContext(ctx, self, childFlag)
	var out bytes.Buffer
	cmd.Stdin = bytes.NewReader(told)
	cmd.Stdout = io.Writer(&out)
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		return processResult{}, err
	}

	var done processResult
	err = json.Unmarshal(out.Bytes(), &done)

	return done, err
}
