package cli

import "backburn/internal/config"

// Reload lets a running process read its configuration again.
type Reload struct {
	Loaded config.Config                 // the configuration at the start
	Parts  config.Part                   // the parts that the process runs
	Read   func() (config.Config, error) // reads the file and applies the flags, as at the start
	Level  func(name string)             // sets the log level
}

// Reload returns a Reload for a process with these parts that started with cfg.
func (a *App) Reload(cfg config.Config, parts config.Part) *Reload {
	return &Reload{Loaded: cfg, Parts: parts, Read: a.Read, Level: a.level.Set}
}
