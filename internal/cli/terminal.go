package cli

import (
	"fmt"
	"os"
	"runtime"

	"golang.org/x/term"

	"backburn/internal/config"
)

// The assumed size of a terminal that does not report its size.
const (
	defaultWidth  = 80
	defaultHeight = 24
)

// terminalSize returns the size of a terminal in columns and lines.
func terminalSize(f *os.File) (width, height int) {
	width, height, err := term.GetSize(int(f.Fd()))
	if err != nil || width <= 0 || height <= 0 {
		return defaultWidth, defaultHeight
	}

	return width, height
}

// color is the flag --color. The zero value is auto.
type color string

const (
	colorAuto   color = "auto"
	colorAlways color = "always"
	colorNever  color = "never"
)

func (c *color) Set(s string) error {
	switch color(s) {
	case colorAuto, colorAlways, colorNever:
		*c = color(s)
		return nil
	}

	return fmt.Errorf("expected auto, always or never, got %q", s)
}

func (c *color) String() string {
	if *c == "" {
		return string(colorAuto)
	}

	return string(*c)
}

func (*color) Type() string { return "when" }

// enabled reports whether w gets colors. With auto, a terminal gets them, unless the environment
// has a NO_COLOR that is not empty (no-color.org) or TERM=dumb, or the terminal is an old console
// of Windows.
func (c color) enabled(w any, env config.Env) bool {
	switch c {
	case colorAlways:
		return true
	case colorNever:
		return false
	}

	if noColor, _ := env("NO_COLOR"); noColor != "" || !IsTerminal(w) {
		return false
	}
	if term, _ := env("TERM"); term == "dumb" {
		return false
	}
	if _, modern := env("WT_SESSION"); runtime.GOOS == "windows" && !modern {
		return false // an old console prints escape sequences as text
	}

	return true
}

// IsTerminal reports whether a stream of the process is a terminal.
func IsTerminal(w any) bool {
	f, ok := fileOf(w)

	return ok && term.IsTerminal(int(f.Fd()))
}

// fileOf returns the file of a stream, if it is one.
func fileOf(w any) (*os.File, bool) {
	if out, ok := w.(*output); ok {
		w = out.Writer
	}
	f, ok := w.(*os.File)

	return f, ok
}
