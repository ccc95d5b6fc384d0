package cli

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"backburn/internal/config"
)

// DefaultFile is read where --config is not given, if it is there.
const DefaultFile = "backburn.toml"

// App is what the commands of a binary share: the surroundings and the global flags.
type App struct {
	Std

	file     string
	color    color
	simulate bool
	settings []setting
	level    level // of the loggers
}

// NewApp binds the global flags to the root command.
func NewApp(root *cobra.Command, std Std) *App {
	a := &App{Std: std}
	flags := root.PersistentFlags()
	flags.StringVar(&a.file, "config", "", "configuration `file` (default "+strings.Join(defaultFiles(), ", or ")+", where it exists, else the defaults)")
	a.Setting(flags, "log-level", "log.level", "`level`: trace, debug, info, warn or error (default: log.level)")
	a.Setting(flags, "log-format", "log.format", "`format`: auto, console or json (default: log.format)")
	flags.Var(&a.color, "color", "colors: auto (on a terminal), always or never")
	root.MarkFlagFilename("config", "toml") //nolint:errcheck // the flag is there
	return a
}

// File is the configuration that Config reads: that of --config or, where it exists,
// backburn.toml, here or where packages put it. It is "" when there is none and the defaults hold.
func (a *App) File() string {
	if a.file != "" {
		return a.file
	}
	for _, file := range defaultFiles() {
		if _, err := os.Lstat(file); !errors.Is(err, fs.ErrNotExist) {
			return file
		}
	}

	return ""
}

// defaultFiles are looked for in this order.
func defaultFiles() []string {
	files := []string{DefaultFile}
	if systemFolder != "" {
		files = append(files, filepath.Join(systemFolder, DefaultFile))
	}

	return files
}

// Describe names the configuration for people.
func (a *App) Describe() string {
	if file := a.File(); file != "" {
		return file
	}
	return "the defaults (there is no " + strings.Join(defaultFiles(), ", and no ") + ")"
}

// Config reads the configuration as Read does, and refuses it unless it can work. Its errors
// have the exit code Usage.
func (a *App) Config() (config.Config, error) { return a.ConfigFor(0) }

// ConfigFor is Config for a process that runs the parts: their files are looked at as well.
func (a *App) ConfigFor(parts config.Part) (config.Config, error) {
	cfg, err := a.Read()
	if err == nil {
		err = cfg.Validate(parts)
	}
	if err != nil {
		return config.Config{}, Exit(Usage, err)
	}

	return cfg, nil
}

// Read reads the configuration, and lays the flags over it. Whether it can work is for its
// Validate to say.
func (a *App) Read() (config.Config, error) {
	cfg := config.Default()
	if file := a.File(); file != "" {
		var err error
		if cfg, err = config.Read(file, a.Env); err != nil {
			return config.Config{}, Exit(Usage, err)
		}
	}
	for _, f := range a.settings {
		if f.flag.Changed {
			cfg.Set(f.key, f.flag.Value.String(), "--"+f.flag.Name)
		}
	}
	if a.simulate {
		if err := cfg.Simulate(); err != nil {
			return config.Config{}, Exit(Usage, err)
		}
	}

	return cfg, nil
}

// Simulation binds --simulate of a command: it works with the simulation of the configuration, apart from
// the real thing.
func (a *App) Simulation(flags *pflag.FlagSet, usage string) {
	flags.BoolVar(&a.simulate, "simulate", false, usage)
}

// Simulated reports whether --simulate was given.
func (a *App) Simulated() bool { return a.simulate }

// setting is a flag that stands for a key of the configuration.
type setting struct {
	flag *pflag.Flag
	key  string
}

// Setting binds a flag of a command to a key of the configuration, which it overrides.
func (a *App) Setting(flags *pflag.FlagSet, name, key, usage string) {
	flags.String(name, "", usage)
	a.settings = append(a.settings, setting{flags.Lookup(name), key})
}

// Logger logs to standard error as the configuration says.
func (a *App) Logger(cfg config.Config) zerolog.Logger {
	a.level.set(cfg.Log.Level)

	return newLogger(a.Err, cfg.Log, a.color.on(a.Err, a.Env), &a.level)
}
