package ui_test

import (
	"context"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// watchConsole returns a function that returns the page's errors so far: exceptions and violations
// of the Content-Security-Policy.
func watchConsole(t *testing.T, ctx context.Context) func() []string {
	var (
		mu   sync.Mutex
		said []string
	)
	t.Helper()
	check(t, chromedp.Listen(ctx, func(ev any) {
		mu.Lock()
		defer mu.Unlock()
		switch ev := ev.(type) {
		case *runtime.EventExceptionThrown:
			said = append(said, ev.ExceptionDetails.Text)
		case *log.EventEntryAdded:
			if ev.Entry.Level == log.EntryLevelError {
				said = append(said, ev.Entry.Text+" "+ev.Entry.URL)
			}
		}
	}))

	return func() []string {
		mu.Lock()
		defer mu.Unlock()

		return append([]string{}, said...)
	}
}

// widths are those of a phone, of half a screen, and of a desk.
var widths = map[string]int64{"390": 390, "800": 800, "1280": 1280}

// screenshots checks the page in light and dark at every width: nothing may be wider than the
// window, and text needs enough contrast (WCAG 2.2, 1.4.3: 4.5 to 1).
func screenshots(t *testing.T, ctx context.Context, what string) {
	t.Helper()
	for _, scheme := range []string{"light", "dark"} {
		for name, width := range widths {
			runActions(t, ctx,
				preferColorScheme(scheme),
				chromedp.EmulateViewport(width, 844))
			if wide := evaluate[int64](t, ctx, "document.documentElement.scrollWidth"); wide > width {
				t.Errorf("%s: the page is %d wide in a window of %d", scheme, wide, width)
			}
			for _, faint := range evaluate[[]string](t, ctx, contrastScript) {
				t.Errorf("%s, %s: %s", scheme, name, faint)
			}
			screenshot(t, ctx, what+"-"+scheme+"-"+name)
		}
	}
}

// preferColorScheme sets the preferred color scheme, light or dark.
func preferColorScheme(scheme string) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, tab *chromedp.Target) error {
		_, err := cdp.Call(ctx, tab, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
		})
		return err
	})
}

// contrastScript lists the texts on the page with too little contrast.
const contrastScript = `(() => {
  const parse = c => c.match(/[\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map(v => v / 255).map(v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
  const ground = e => {
    for (; e; e = e.parentElement) {
      const c = parse(getComputedStyle(e).backgroundColor);
      if (c.length === 3 || c[3] === 1) return c;
    }
    return [255, 255, 255];
  };
  const faint = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let n = walk.nextNode(); n; n = walk.nextNode()) {
    const e = n.parentElement;
    if (!n.textContent.trim() || !e.checkVisibility() || ["SCRIPT", "STYLE", "NOSCRIPT"].includes(e.tagName)) continue;
    const [a, b] = [light(parse(getComputedStyle(e).color)), light(ground(e))];
    const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
    if (ratio < 4.5) faint.push(n.textContent.trim() + ": " + ratio.toFixed(2) + " to 1");
  }
  return faint;
})()`
