package cli

import "backburn/internal/config"

// Reload has what a running process needs to read its configuration again. It is not safe for
// concurrent use.
type Reload struct {
	Loaded config.Config                 // the configuration at the start, or after the last reload
	Parts  config.Part                   // the parts that the process runs
	Read   func() (config.Config, error) // reads the file and applies the flags, as at the start
	Level  func(name string)             // sets the log level
}

// NewReload returns a Reload for a process with these parts that started with cfg. From then on the
// App reads the same file, so that the defaults do not apply while a default file is missing.
func (a *App) NewReload(cfg config.Config, parts config.Part) *Reload {
	a.file = a.File()

	return &Reload{Loaded: cfg, Parts: parts, Read: a.Read, Level: a.level.Set}
}
