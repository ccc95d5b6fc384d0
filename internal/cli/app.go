package cli

import (
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"backburn/internal/config"
)

// DefaultFile is read where --config is not given, if it is there.
const DefaultFile = "backburn.toml"

// App is what the commands of a binary share: the surroundings and the global flags.
type App struct {
	Std

	file      string
	logLevel  string
	logFormat string
}

// NewApp binds the global flags to the root command.
func NewApp(root *cobra.Command, std Std) *App {
	a := &App{Std: std}
	flags := root.PersistentFlags()
	flags.StringVar(&a.file, "config", "", "configuration `file` (default "+DefaultFile+" where it exists, else the defaults)")
	flags.StringVar(&a.logLevel, "log-level", "", "`level`: trace, debug, info, warn or error (default: log.level)")
	flags.StringVar(&a.logFormat, "log-format", "", "`format`: auto, console or json (default: log.format)")
	root.MarkFlagFilename("config", "toml") //nolint:errcheck // the flag is there
	return a
}

// File is the configuration that Config reads: that of --config or, where it exists,
// backburn.toml. It is "" when there is none and the defaults hold.
func (a *App) File() string {
	if a.file != "" {
		return a.file
	}
	if _, err := os.Lstat(DefaultFile); errors.Is(err, fs.ErrNotExist) {
		return ""
	}
	return DefaultFile
}

// Describe names the configuration for people.
func (a *App) Describe() string {
	if file := a.File(); file != "" {
		return file
	}
	return "the defaults (there is no " + DefaultFile + ")"
}

// Config reads the configuration, and lays the global flags over it. Its errors have the
// exit code Usage.
func (a *App) Config() (config.Config, error) {
	cfg := config.Default()
	if file := a.File(); file != "" {
		var err error
		if cfg, err = config.Load(file, a.Env); err != nil {
			return config.Config{}, Exit(Usage, err)
		}
	}
	for _, f := range []struct {
		name, value string
		target      *string
		words       []string
	}{
		{"log-level", a.logLevel, &cfg.Log.Level, []string{"trace", "debug", "info", "warn", "error"}},
		{"log-format", a.logFormat, &cfg.Log.Format, []string{"auto", "console", "json"}},
	} {
		switch {
		case f.value == "":
		case slices.Contains(f.words, f.value):
			*f.target = f.value
		default:
			return config.Config{}, Usagef("--%s: expected %s, got %q", f.name, strings.Join(f.words, ", "), f.value)
		}
	}
	return cfg, nil
}

// Logger logs to standard error as the configuration says.
func (a *App) Logger(cfg config.Config) zerolog.Logger { return newLogger(a.Err, cfg.Log, a.Env) }
