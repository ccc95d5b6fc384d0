// Command tokens uploads from many slots of several processes over many lifetimes of the access
// token, and prints how often the token service was asked: once for each token, whatever the
// number of slots and processes, and no upload fails on the way from one token to the next.
//
//	go run ./bench/tokens
//	go run ./bench/tokens -lifetime 20s -for 2m -processes 4 -slots 16
//
// A token is renewed when nine to eight tenths of its life are over, and a process that got it from
// another takes a tenth off, since it judges the token's age by the wall clock.
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
	var c churn
	flag.IntVar(&c.Processes, "processes", 4, "processes, each with a connection and a source of tokens")
	flag.IntVar(&c.Slots, "slots", 16, "uploads at a time in each")
	flag.DurationVar(&c.Lifetime, "lifetime", 15*time.Second, "of a token")
	flag.DurationVar(&c.For, "for", 75*time.Second, "how long")
	child := flag.Bool(childFlag[1:], false, "be one of the processes")
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
		r.judge(t)
	})
	if !ok {
		stop()
		os.Exit(1)
	}
}

// upload is a child: its order is on standard input, what came of it goes to standard output.
func upload(ctx context.Context) error {
	var o order
	if err := json.NewDecoder(os.Stdin).Decode(&o); err != nil {
		return err
	}
	done, err := o.carryOut(ctx)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(done)
}

// process carries an order out in a process of its own.
func process(ctx context.Context, o order) (outcome, error) {
	self, err := os.Executable()
	if err != nil {
		return outcome{}, err
	}
	told, err := json.Marshal(o)
	if err != nil {
		return outcome{}, err
	}
	cmd := exec.CommandContext(ctx, self, childFlag)
	var out bytes.Buffer
	cmd.Stdin = bytes.NewReader(told)
	cmd.Stdout = io.Writer(&out)
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		return outcome{}, err
	}
	var done outcome
	err = json.Unmarshal(out.Bytes(), &done)
	return done, err
}
