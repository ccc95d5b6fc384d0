package cli

import (
	"io"
	"os"
	"strconv"
)

// Screen is what a stream of the process is able to show.
type Screen struct {
	Terminal bool
	Color    bool
	Width    int // columns; 0 where lines may be of any length
	Height   int // lines; 0 where there may be any number
}

// Screen looks at standard output, and at what the flags and the environment say of it. The window
// of a terminal may change, so that a command that goes on asks again.
func (a *App) Screen() Screen { return a.screenOf(a.Out) }

// TalkScreen is Screen for standard error.
func (a *App) TalkScreen() Screen { return a.screenOf(a.Err) }

func (a *App) screenOf(w io.Writer) Screen {
	s := Screen{Color: a.color.on(w, a.Env)}
	f, ok := w.(*os.File)
	if !ok || !isTerminal(f) {
		return s
	}

	s.Terminal = true
	s.Width, s.Height = sizeOf(f)
	if text, ok := a.Env("COLUMNS"); ok {
		if n, err := strconv.Atoi(text); err == nil && n > 0 {
			s.Width = n
		}
	}

	return s
}
