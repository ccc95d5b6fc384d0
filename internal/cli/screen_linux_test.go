package cli_test

import (
	"fmt"
	"os"
	"testing"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"backburn/internal/cli"
)

// terminal returns a pseudo-terminal of the given size.
func terminal(t *testing.T, columns, lines uint16) *os.File {
	t.Helper()
	ours, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() { _ = ours.Close() })
	fd := int(ours.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}

	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}

	theirs, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() { _ = theirs.Close() })
	if err := unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Col: columns, Row: lines}); err != nil {
		t.Fatal(err)
	}

	return theirs
}

// Only terminals get colors, unless the flag or the environment say otherwise.
func TestScreen(t *testing.T) {
	t.Parallel()
	pipe, err := os.Create(t.TempDir() + "/out")
	if err != nil {
		t.Fatal(err)
	}
	defer pipe.Close()
	tty := terminal(t, 100, 30)
	for name, tc := range map[string]struct {
		out  *os.File
		flag string
		env  map[string]string
		want cli.Screen
	}{
		"terminal":                 {tty, "", nil, cli.Screen{Terminal: true, Color: true, Width: 100, Height: 30}},
		"terminal, auto":           {tty, "auto", nil, cli.Screen{Terminal: true, Color: true, Width: 100, Height: 30}},
		"terminal, NO_COLOR":       {tty, "", map[string]string{"NO_COLOR": "1"}, cli.Screen{Terminal: true, Width: 100, Height: 30}},
		"terminal, empty variable": {tty, "", map[string]string{"NO_COLOR": ""}, cli.Screen{Terminal: true, Color: true, Width: 100, Height: 30}},
		"terminal, dumb":           {tty, "", map[string]string{"TERM": "dumb"}, cli.Screen{Terminal: true, Width: 100, Height: 30}},
		"terminal, never":          {tty, "never", nil, cli.Screen{Terminal: true, Width: 100, Height: 30}},
		"terminal, COLUMNS":        {tty, "", map[string]string{"COLUMNS": "72"}, cli.Screen{Terminal: true, Color: true, Width: 72, Height: 30}},
		"terminal, odd COLUMNS":    {tty, "", map[string]string{"COLUMNS": "-3"}, cli.Screen{Terminal: true, Color: true, Width: 100, Height: 30}},
		"without a size":           {terminal(t, 0, 0), "", nil, cli.Screen{Terminal: true, Color: true, Width: 80, Height: 24}},
		"file":                     {pipe, "", map[string]string{"COLUMNS": "72"}, cli.Screen{}},
		"file, always":             {pipe, "always", map[string]string{"NO_COLOR": "1"}, cli.Screen{Color: true}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root := &cobra.Command{Use: "x"}
			std := cli.Std{Out: tc.out, Err: tc.out, Env: func(k string) (string, bool) { v, ok := tc.env[k]; return v, ok }}
			app := cli.NewApp(root, std)
			if tc.flag != "" {
				if err := root.PersistentFlags().Set("color", tc.flag); err != nil {
					t.Fatal(err)
				}
			}

			if got := app.Screen(); got != tc.want {
				t.Errorf("got %+v, want %+v", got, tc.want)
			}
			if got := app.MessageScreen(); got != tc.want {
				t.Errorf("standard error: got %+v, want %+v", got, tc.want)
			}
		})
	}
}
