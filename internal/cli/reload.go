package cli

import "backburn/internal/config"

// Reload is how a process reads its configuration again while it runs.
type Reload struct {
	Loaded config.Config                 // at the start
	Parts  config.Part                   // what the process runs
	Read   func() (config.Config, error) // the file, and what the command lays over it, as at the start
	Level  func(name string)             // what is logged from now on
}

// Reload returns how a process with these parts, which read cfg, reads it again.
func (a *App) Reload(cfg config.Config, parts config.Part) *Reload {
	return &Reload{Loaded: cfg, Parts: parts, Read: a.Read, Level: a.level.set}
}
