// Command quota simulates a day with WildFire's quotas and an accelerated clock: files arrive all
// day, most of them known, and the day's uploads and queries have to suffice. It prints how many
// files were resolved per upload and per query, and how many queries one per file and minute would
// have been.
//
//	go run ./bench/quota
//	go run ./bench/quota -day 30s -arrivals 1000 -uploads 30 -queries 210
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"testing"
	"time"

	"backburn/internal/testkit"
)

func main() {
	d := simulatedDay{}
	flag.IntVar(&d.Arrivals, "arrivals", 5000, "files that arrive on the first day")
	flag.IntVar(&d.Uploads, "uploads", 150, "uploads per day")
	flag.IntVar(&d.Queries, "queries", 1050, "queries per day")
	flag.IntVar(&d.Urgent, "urgent", 15, "urgent files in the evening, when the common budget is spent")
	flag.DurationVar(&d.Length, "day", 120*time.Second, "real time of a simulated day")
	flag.Float64Var(&d.Until, "until", 1.5, "days to simulate")
	flag.Uint64Var(&d.Seed, "seed", 1, "random seed for the arrivals")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if !testkit.Alone(ctx, os.Stdout, func(t testing.TB) { fmt.Println(d.run(t)) }) {
		stop()
		os.Exit(1)
	}
}
