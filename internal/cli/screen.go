package cli

import (
	"io"
	"strconv"
)

// Screen describes the capabilities of an output stream.
type Screen struct {
	Terminal bool
	Color    bool
	Width    int // in columns; 0: no limit
	Height   int // in lines; 0: no limit
}

// Screen describes standard output, using the flags and the environment. A terminal's size may
// change, so a long-running command calls it again.
func (a *App) Screen() Screen { return a.screenOf(a.Out) }

// MessageScreen is Screen for standard error.
func (a *App) MessageScreen() Screen { return a.screenOf(a.Err) }

// screenOf describes an output stream.
func (a *App) screenOf(w io.Writer) Screen {
	s := Screen{Color: a.color.enabled(w, a.Env)}
	f, ok := fileOf(w)
	if !ok || !IsTerminal(f) {
		return s
	}

	s.Terminal = true
	s.Width, s.Height = terminalSize(f)
	if text, ok := a.Env("COLUMNS"); ok {
		if n, err := strconv.Atoi(text); err == nil && n > 0 {
			s.Width = n
		}
	}

	return s
}
