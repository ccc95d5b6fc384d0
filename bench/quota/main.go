// Command quota lives through a day of WildFire's allowances, with a clock that runs faster: files
// arrive all day, most of them known, and the uploads and queries of the day have to do for them.
// It prints how many files were resolved for every upload and query, beside what asking about
// every file once a minute would have cost.
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
	d := day{}
	flag.IntVar(&d.Arrivals, "arrivals", 5000, "files that arrive on the first day")
	flag.IntVar(&d.Uploads, "uploads", 150, "uploads a day")
	flag.IntVar(&d.Queries, "queries", 1050, "queries a day")
	flag.IntVar(&d.Urgent, "urgent", 15, "urgent files in the evening, when the common budget is spent")
	flag.DurationVar(&d.Length, "day", 120*time.Second, "how long a day takes")
	flag.Float64Var(&d.Until, "until", 1.5, "days to live through")
	flag.Uint64Var(&d.Seed, "seed", 1, "of the arrivals")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if !testkit.Alone(ctx, os.Stdout, func(t testing.TB) { fmt.Println(d.live(t)) }) {
		stop()
		os.Exit(1)
	}
}
