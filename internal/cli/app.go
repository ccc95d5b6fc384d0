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
	"backburn/internal/logging"
)

// DefaultFile is read if --config is not given and the file exists.
const DefaultFile = "backburn.toml"

// App is shared by the commands of a binary: the standard streams, the environment and the global
// flags.
type App struct {
	Std

	root     *cobra.Command
	file     string
	color    color
	simulate bool
	settings []setting
	level    logging.Level // of all loggers; a reload may change it
}

// NewApp creates the App of a binary, and adds the global flags to the root command.
func NewApp(root *cobra.Command, std Std) *App {
	a := &App{Std: std, root: root}
	flags := root.PersistentFlags()
	flags.StringVar(&a.file, "config", "", "configuration `file` (default: "+strings.Join(defaultFiles(), " or ")+", if it exists; otherwise the built-in defaults)")
	a.BindSetting(flags, "log-level", "log.level", "`level`: trace, debug, info, warn or error (default: log.level)")
	a.BindSetting(flags, "log-format", "log.format", "`format`: auto, console or json (default: log.format)")
	flags.Var(&a.color, "color", "colors: auto (on a terminal), always or never")
	root.MarkFlagFilename("config", "toml") //nolint:errcheck // the flag is there

	return a
}

// File returns the name of the configuration file that Config reads: that of --config or otherwise
// an existing backburn.toml, in the working directory or where packages install it. It returns ""
// if there is none and the defaults apply.
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

// defaultFiles returns the default file names in the order in which they are tried.
func defaultFiles() []string {
	files := []string{DefaultFile}
	if systemFolder != "" {
		files = append(files, filepath.Join(systemFolder, DefaultFile))
	}

	return files
}

// ConfigOrigin says in a message where the configuration comes from.
func (a *App) ConfigOrigin() string {
	if file := a.File(); file != "" {
		return file
	}
	return "the defaults (there is no " + strings.Join(defaultFiles(), ", and no ") + ")"
}

// Config reads the configuration as Read does, and validates it. Its errors have the exit code
// Usage.
func (a *App) Config() (config.Config, error) { return a.ConfigFor(0) }

// ConfigFor is Config for a process that runs the parts. It also validates the files of these
// parts.
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

// Read reads the configuration and applies the flags. It does not validate the result.
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

// BindSimulation adds to a command the flag --simulate, with which it uses the simulation instead
// of the real fleet.
func (a *App) BindSimulation(flags *pflag.FlagSet, usage string) {
	flags.BoolVar(&a.simulate, simulateFlag, false, usage)
}

// Simulated reports whether --simulate was given.
func (a *App) Simulated() bool { return a.simulate }

// Hints returns a message of a command. If the command uses the simulation, so do the commands that
// the message suggests, if they can.
func (a *App) Hints(message string) string {
	if !a.simulate {
		return message
	}

	return simulatedHints(a.root, message)
}

// setting is a flag that overrides a configuration key.
type setting struct {
	flag *pflag.Flag
	key  string
}

// BindSetting adds a flag to a command that overrides a configuration key.
func (a *App) BindSetting(flags *pflag.FlagSet, name, key, usage string) {
	flags.String(name, "", usage)
	a.settings = append(a.settings, setting{flags.Lookup(name), key})
}

// Logger returns the configured logger, which writes to standard error.
func (a *App) Logger(cfg config.Config) zerolog.Logger {
	a.level.Set(cfg.Log.Level)

	return logging.New(a.Err, cfg.Log, IsTerminal(a.Err), a.color.enabled(a.Err, a.Env), &a.level)
}
