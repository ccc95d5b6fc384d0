package ui_test

import (
	"context"
	"fmt"
	"os"
	goruntime "runtime"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/heapprofiler"
	"github.com/chromedp/cdproto/performance"
	"github.com/chromedp/chromedp"

	"backburn/internal/app"
	"backburn/results"
)

// pageMemory is the memory of a page after a garbage collection.
type pageMemory struct {
	heap  float64 // of JavaScript, in bytes
	nodes float64 // DOM nodes, including those kept by scripts
	items int     // files in the list
	here  uint64  // heap of this process, in bytes
}

func (w pageMemory) String() string {
	return fmt.Sprintf("heap %.1f MB, %.0f DOM nodes, %d files in the list; heap of the process %.1f MB", w.heap/1e6, w.nodes, w.items, float64(w.here)/1e6)
}

func measurePage(t *testing.T, ctx context.Context) (w pageMemory) {
	t.Helper()
	runActions(t, ctx, chromedp.Func(func(ctx context.Context, tab *chromedp.Target) error {
		if _, err := cdp.Call(ctx, tab, heapprofiler.CollectGarbage, cdp.Empty{}); err != nil {
			return err
		}
		if _, err := cdp.Call(ctx, tab, performance.Enable, performance.EnableParams{}); err != nil {
			return err
		}

		m, err := cdp.Call(ctx, tab, performance.GetMetrics, cdp.Empty{})
		if err != nil {
			return err
		}

		for _, metric := range m.Metrics {
			switch metric.Name {
			case "JSHeapUsedSize":
				w.heap = metric.Value
			case "Nodes":
				w.nodes = metric.Value
			}
		}

		return nil
	}))
	w.items = evaluate[int](t, ctx, `document.querySelectorAll("#events li").length`)
	goruntime.GC()
	var m goruntime.MemStats
	goruntime.ReadMemStats(&m)
	w.here = m.HeapAlloc

	return w
}

// The limits of a page, for any number of events.
const (
	mostItems = 200
	mostNodes = 6_000
	mostHeap  = 8e6
)

// A page that stays open during a stream of events does not grow. With BACKBURN_STREAM=10m, 50
// events per second arrive for that time, and the test logs the page's memory. Otherwise just
// enough events arrive to replace the list.
func TestPageStaysLightInAStream(t *testing.T) {
	t.Parallel()
	long, _ := time.ParseDuration(os.Getenv("BACKBURN_STREAM"))
	past := newFakeHistory()
	sent := 0
	send := func() {
		sent++
		now := time.Now()
		past.add(results.Event{Type: results.Verdict, Time: now, Data: results.Data{
			JobID: fmt.Sprint("j", sent), Source: fmt.Sprint("source-", sent%7), Filename: fmt.Sprintf("invoice %d.pdf", sent), Path: fmt.Sprintf("/srv/mail/invoice %d.pdf", sent),
			SHA256: fmt.Sprintf("%064x", sent), Verdict: []string{"benign", "benign", "malware"}[sent%3], ReceivedAt: now.Add(-time.Second), DecidedAt: now,
		}})
	}
	ctx := startBrowser(t)
	runActions(t, ctx, chromedp.Navigate(serve(t, func() (app.Status, error) { return healthyStatus(), nil }, past)))
	waitUntil(t, ctx, `document.querySelector("#stream").dataset.state === "live"`)

	arrived := func() {
		t.Helper()
		waitUntil(t, ctx, fmt.Sprintf(`document.querySelector("#events .name")?.innerText === "invoice %d.pdf"`, sent))
	}
	for _, events := range []int{30, 150, 250} { // more than the page requests at once, or less
		for range events {
			send()
		}

		arrived()
	}

	before := measurePage(t, ctx)
	t.Log("at first: ", before)
	if long > 0 {
		tick := time.NewTicker(time.Second / 50)
		defer tick.Stop()
		minute := time.NewTicker(time.Minute)
		defer minute.Stop()
		for end := time.After(long); ; {
			select {
			case <-tick.C:
				send()
				continue
			case <-minute.C:
				t.Logf("after %d events: %s", sent, measurePage(t, ctx))
				continue
			case <-end:
			}

			break
		}
	} else {
		for range 2 {
			for range 150 { // fewer than the page requests at once, so that they are added to the list
				send()
			}

			arrived()
		}
	}

	arrived()
	after := measurePage(t, ctx)
	t.Logf("after %d events: %s", sent, after)
	if after.items > mostItems || after.nodes > mostNodes || after.heap > mostHeap {
		t.Errorf("it grew: %s", after)
	}

	names := evaluate[string](t, ctx, `document.querySelector("#events").innerText`)
	if !strings.Contains(names, fmt.Sprintf("invoice %d.pdf", sent)) {
		t.Error("the newest is not there")
	}
}
