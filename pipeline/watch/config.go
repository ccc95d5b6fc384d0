package watch

import (
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"backburn/pipeline"
	"backburn/pipeline/watch/beside"
	"backburn/pipeline/watch/settle"
)

// Values of Config.Claim.
const (
	ClaimMove = "move" // renamed into .backburn/claimed
	ClaimKeep = "keep" // left in place and recorded in a ledger
)

// Values of Config.Watch.
const (
	WatchAuto   = "auto"   // events where they are reliable, otherwise poll
	WatchEvents = "events" // file system events, and scans
	WatchPoll   = "poll"   // only scans
)

// Values of Config.Transfer.
const (
	TransferPath   = "path"   // workers read the same file system
	TransferObject = "object" // contents are stored through Objects
)

// Values of Config.Hardlinks.
const (
	HardlinksCopy   = "copy"   // the file is claimed, then replaced by a copy
	HardlinksTake   = "take"   // claimed as they are; contents may change through the other name
	HardlinksReject = "reject" // left where they are, and counted
)

// Values of Config.Metadata.
const (
	MetadataNone     = string(beside.None)
	MetadataJSON     = string(beside.JSON)
	MetadataSuricata = string(beside.Suricata)
)

// Values of the fields of After, besides the path of a folder. With Claim = "keep", AfterKeep is
// the only one, and files stay where they are.
const (
	AfterKeep    = "keep"    // moved to .backburn/done/<verdict>/, or .backburn/done/failed/ after a failure, until somebody removes it
	AfterDelete  = "delete"  // removed
	AfterRestore = "restore" // returned to where it was found; claimed again only if it changes
)

// Config describes the folder that a Watcher watches, and how. DefaultConfig sets every field but
// Path and Source. The tags hold the keys of the configuration file and their documentation.
//
// Claim = "keep" leaves files in place and records their device, inode, birth time, size, times and
// SHA-256 in a ledger. That has three costs: every scan must look at every file, the producer may
// change a file before a worker has read it, and only one watcher at a time can work on a folder;
// others stand by.
type Config struct {
	Path        string            `toml:"path" example:"quarantine" doc:"The folder to watch."`
	Source      string            `toml:"source" doc:"Name of the folder in subjects and events, 1 to 32 of a-z 0-9 _ -. Empty: the folder's base name."`
	Recursive   bool              `toml:"recursive" doc:"Include the folders below. Symbolic links are never followed."`
	Claim       string            `toml:"claim" doc:"\"move\": files are renamed into <path>/.backburn. \"keep\": files stay, and a ledger records them."`
	StateDir    string            `toml:"state_dir" own:"true" doc:"Folder of the ledger, with claim = \"keep\" only. Empty: <path>/.backburn. Set another one if the folder is read-only."`
	Watch       string            `toml:"watch" doc:"\"auto\", \"events\" or \"poll\". Auto polls on network file systems."`
	Settle      time.Duration     `toml:"settle" doc:"A file is complete once it has not changed for this long and nobody has it open for writing. If writers cannot be detected, the time is five times as long. \"0s\": only writers count."`
	Scan        time.Duration     `toml:"scan" doc:"Interval between full scans, which find files that events missed. After a long scan the interval is about 20 times its duration."`
	Exclude     []string          `toml:"exclude" doc:"Globs of files that are never taken: without a slash, for the name of the file or of a folder above it; with a slash, for the relative path of either."`
	Defer       []string          `toml:"defer" doc:"Globs of temporary names, taken only after stale_after. Case does not matter."`
	StaleAfter  time.Duration     `toml:"stale_after" doc:"Files with temporary names and empty files are taken once they have not changed for this long. Files that cannot be processed are reported after this time. At least settle."`
	DoneFile    string            `toml:"done_file" doc:"\"{name}.done\", \"{name.noext}.ready\" or a fixed name: a file is taken only when this second file exists. With claim = \"move\" the second file is then removed, unless its name is fixed. The second file itself is not submitted, unless its name contains {name} and the file that it marks does not exist. Empty: not needed."`
	Metadata    string            `toml:"metadata" doc:"Where the metadata and the true name of a file come from. \"suricata\": the JSON files beside it that Suricata's file-store writes. \"json\": <name>.json beside it, written before it. Empty: files have no metadata and keep their names. With claim = \"move\" the JSON file is removed with its file."`
	Sidecar     bool              `toml:"sidecar" doc:"Write the final event to a JSON file, named after the file with .json at the end: beside a file that is moved to a folder of after, otherwise in .backburn/done/<verdict>/."`
	Hardlinks   string            `toml:"hardlinks" doc:"What to do with a file that has a second name (hard link), through which it can change: \"copy\" (at most a tenth of the disk), \"take\" or \"reject\"."`
	MaxFileSize int64             `toml:"max_file_size" unit:"bytes" doc:"Largest file. Larger ones fail with the reason too_large."`
	MinFree     int64             `toml:"min_free" unit:"bytes" doc:"No file is claimed while the disk has less free space. \"0\": no limit."`
	Priority    pipeline.Priority `toml:"priority" doc:"Priority of the jobs: \"urgent\", \"normal\" or \"bulk\"."`
	Transfer    string            `toml:"transfer" doc:"\"path\": workers read the same file system. \"object\": contents travel through JetStream."`
	MaxInFlight int               `toml:"max_in_flight" doc:"Most files that are claimed and not done. Further files stay in the folder."`
	After       After             `toml:"after" doc:"What to do with a claimed file after its final event: \"keep\" (in .backburn/done/<verdict>/, until you remove it), \"delete\", \"restore\" (back where it was found), or the path of a folder with a slash in it, such as \"/srv/malware\" or \"./malware\". With claim = \"keep\", files stay where they are, and only \"keep\" is possible."`
}

// After says what happens to a claimed file after its final event: "keep", "delete", "restore", or
// a folder to move it to (a path with a slash; created if necessary). After an unknown verdict the
// file is kept.
type After struct {
	Benign    string `toml:"benign" own:"true" doc:"After the verdict benign."`
	Malicious string `toml:"malicious" own:"true" doc:"After the verdicts malware, grayware, phishing and c2."`
	Failed    string `toml:"failed" own:"true" doc:"After a failure."`
}

// DefaultConfig returns the defaults of all fields but Path and Source. Complete sets Source.
func DefaultConfig() Config {
	return Config{
		Recursive:   true,
		Claim:       ClaimMove,
		Watch:       WatchAuto,
		Settle:      2 * time.Second,
		Scan:        10 * time.Second,
		StaleAfter:  10 * time.Minute,
		Exclude:     []string{},
		Defer:       DefaultDefer(),
		Hardlinks:   HardlinksCopy,
		MaxFileSize: 100_000_000,
		Priority:    pipeline.Normal,
		Transfer:    TransferPath,
		MaxInFlight: 1000,
		MinFree:     1 << 30,
		After:       After{Benign: AfterKeep, Malicious: AfterKeep, Failed: AfterKeep},
	}
}

// DefaultDefer returns the temporary names that programs use before they rename a finished file:
// rsync, FTP servers, browsers, editors, desktop environments.
func DefaultDefer() []string {
	return []string{
		".*", "~$*", "*~", "#*#",
		"*.tmp", "*.temp", "*.part", "*.partial", "*.filepart", "*.crdownload", "*.download",
		"*.opdownload", "*.writing", "*.inprogress", "*.!qB", "*.aria2", "*.camelLock",
		"sed??????",
	}
}

// Complete sets Source from the base name of Path if it is empty.
func (c *Config) Complete() {
	if c.Source == "" {
		c.Source = sourceOf(c.Path)
	}
}

// sourceOf makes a valid source from the base name of a folder: in lower case, with - instead of
// characters other than a-z, 0-9, _ and -, at most 32 bytes long, and without - at either end. It
// returns "" if nothing is left.
func sourceOf(path string) string {
	if path == "" {
		return ""
	}
	if abs, err := filepath.Abs(path); err == nil {
		path = abs // resolves "."
	}

	name := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '_', r == '-':
			return r
		}
		return '-'
	}, strings.ToLower(filepath.Base(path)))

	return strings.Trim(name[:min(len(name), 32)], "-")
}

// Check calls bad for each key with an invalid value, with what is expected instead, and with the
// other keys that the rule depends on. The messages contain no values. Check does not access files.
func (c Config) Check(bad func(key, expected string, related ...string)) {
	want := pipeline.Wants(bad)
	want(c.Path != "", "path", "the folder to watch")
	want(pipeline.ValidSource(c.Source), "source", pipeline.SourceRule, "path")
	want(oneOf(c.Claim, ClaimMove, ClaimKeep), "claim", `"move" or "keep"`)
	want(oneOf(c.Watch, WatchAuto, WatchEvents, WatchPoll), "watch", `"auto", "events" or "poll"`)
	want(oneOf(c.Transfer, TransferPath, TransferObject), "transfer", `"path" or "object"`)
	want(oneOf(c.Hardlinks, HardlinksCopy, HardlinksTake, HardlinksReject), "hardlinks", `"copy", "take" or "reject"`)
	want(c.Priority.Valid(), "priority", pipeline.PriorityRule)
	want(c.Settle >= 0, "settle", "0s or more")
	want(c.Scan > 0, "scan", "more than 0s")
	want(c.StaleAfter > 0, "stale_after", "more than 0s")
	if c.StaleAfter > 0 {
		want(c.StaleAfter >= c.Settle, "stale_after", "at least settle", "settle")
	}
	want(c.MaxFileSize > 0, "max_file_size", "more than 0")
	want(c.MinFree >= 0, "min_free", "0 or more")
	want(c.MaxInFlight > 0, "max_in_flight", "more than 0")
	want(settle.CheckDoneFile(c.DoneFile) == nil, "done_file",
		`a name with {name} or {name.noext} in it at most once, and not alone, such as "{name}.done"`)
	want(oneOf(c.Metadata, MetadataNone, MetadataJSON, MetadataSuricata), "metadata", `"", "json" or "suricata"`)
	want(c.StateDir == "" || c.Claim == ClaimKeep, "state_dir",
		`nothing unless claim = "keep": claimed files stay on the folder's own file system`, "claim")
	c.checkGlobs("exclude", c.Exclude, want)
	c.checkGlobs("defer", c.Defer, want)
	c.checkAfter("after.benign", c.After.Benign, want)
	c.checkAfter("after.malicious", c.After.Malicious, want)
	c.checkAfter("after.failed", c.After.Failed, want)
}

// Validate returns everything that Check finds as one error, with one line for each key.
func (c Config) Validate() error { return pipeline.CheckError(c.Check) }

func oneOf(got string, words ...string) bool { return slices.Contains(words, got) }

type requirement = func(ok bool, key, expected string, related ...string)

func (c Config) checkGlobs(key string, globs []string, want requirement) {
	for i, g := range globs {
		_, err := path.Match(g, "")
		want(err == nil && g != "", fmt.Sprintf("%s[%d]", key, i), `a glob such as "*.tmp"`)
	}
}

// checkAfter checks one field of After.
func (c Config) checkAfter(key, action string, want requirement) {
	isWord := oneOf(action, AfterKeep, AfterDelete, AfterRestore)
	switch {
	case c.Claim == ClaimKeep:
		want(action == AfterKeep, key, `"keep", because files stay where they are with claim = "keep"`, "claim")
	case c.Metadata != MetadataNone && action == AfterRestore:
		want(false, key, `another value, because the metadata beside the file would be lost`, "metadata")
	case !isWord && !isFolder(action):
		want(false, key, `"keep", "delete", "restore", or a folder with a slash such as "./archive"`)
	case !isWord && c.Path != "":
		want(!within(c.Path, action), key, "a folder that is not inside the watched one, where its files would be taken again", "path")
	}
}

func (a After) actions() []string { return []string{a.Benign, a.Malicious, a.Failed} }

// isFolder reports whether an action is a folder to move files to.
func isFolder(action string) bool { return strings.ContainsAny(action, `/\`) }

// within reports whether name is folder or below it. It compares only the paths.
func within(folder, name string) bool {
	f, err1 := filepath.Abs(folder)
	n, err2 := filepath.Abs(name)
	if err1 != nil || err2 != nil {
		return false
	}
	rel, err := filepath.Rel(f, n)

	return err == nil && rel != ".." && !strings.HasPrefix(rel, ".."+string(filepath.Separator))
}

// usesLedger reports whether, with this configuration, finished files can be seen again in the
// folder.
func (c Config) usesLedger() bool {
	return c.Claim == ClaimKeep || slices.Contains(c.After.actions(), AfterRestore)
}

// LedgerDir returns the folder that has the ledger. If StateDir is set, that is StateDir, with the
// ledger in its subfolder <source>/.backburn. Otherwise it is .backburn in the watched folder. The
// ledger records files that stay in place (Claim "keep") or return (After "restore").
func (c Config) LedgerDir() string {
	if c.StateDir != "" {
		return c.StateDir
	}

	return filepath.Join(c.Path, pipeline.SpoolDir)
}
