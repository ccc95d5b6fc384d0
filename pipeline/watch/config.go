package watch

import (
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"backburn/pipeline"
	"backburn/pipeline/watch/settle"
)

// Values of Config.Claim.
const (
	ClaimMove = "move" // by atomic rename into .backburn/claimed
	ClaimKeep = "keep" // left in place, remembered in a ledger
)

// Values of Config.Watch.
const (
	WatchAuto   = "auto"   // events where they can be trusted, else poll
	WatchEvents = "events" // file system events, and scans
	WatchPoll   = "poll"   // scans alone
)

// Values of Config.Transfer.
const (
	TransferPath   = "path"   // workers read the same file system
	TransferObject = "object" // contents travel through Objects
)

// Values of Config.Hardlinks.
const (
	HardlinksCopy   = "copy"   // contents are copied into a file of our own, and that is taken
	HardlinksTake   = "take"   // taken as they are; another name can change the contents under way
	HardlinksReject = "reject" // left where they are, and counted
)

// Values of the fields of After, besides the name of a folder.
const (
	AfterKeep    = "keep"    // .backburn/done/<verdict>/, failures in .backburn/done/failed/; nothing prunes them
	AfterDelete  = "delete"  // removed
	AfterRestore = "restore" // back where it was found; not taken again unless it changes
)

// Config says which folder a Watcher looks after, and how. DefaultConfig gives working
// values for everything but Path and Source.
type Config struct {
	// Path is the folder. Relative names are taken from the working directory.
	Path string
	// Source is the name of the folder in subjects and events: [a-z0-9_-]{1,32}.
	Source string
	// Recursive includes folders below. Symbolic links are never followed.
	Recursive bool

	// Claim is "move" or "keep". "move" (the default) renames a file into
	// .backburn/claimed, which only needs a directory entry and cannot disagree with the
	// disk. "keep" leaves files where they are and remembers device, inode, birth time,
	// size, times and contents in a ledger: every scan has to look at every file, the
	// producer may change a file before a worker has read it, and one watcher at a time
	// works on the folder while others stand by.
	Claim string
	// Watch is "auto", "events" or "poll".
	Watch string
	// Settle is how long a file must not have changed to be complete. Five times as long
	// applies where the file system is remote, and where the kernel cannot say whether a
	// writer is left. Defaults to 2s; 0 relies on that check alone.
	Settle time.Duration
	// Scan is the time between full scans; scans that take long are spaced out to 20
	// times their own duration. Defaults to 10s.
	Scan time.Duration
	// StaleAfter is how long a file with a temporary-looking name, or an empty one, must not
	// have changed to be taken all the same, and how long a file may be in trouble before that
	// is reported. Defaults to 10m.
	StaleAfter time.Duration

	// Exclude are globs (path.Match) of names that are never taken: of a file or a
	// folder on the way to it or, with a slash in it, of the whole relative path.
	Exclude []string
	// Defer are globs of temporary-looking names, taken only after StaleAfter. Upper and
	// lower case are the same.
	Defer []string
	// DoneFile, unless empty, is the name of the file whose existence says that a file
	// is complete, as Camel's doneFileName: "{name}.done", "{name.noext}.ready" or a fixed
	// name for all files of a folder. A file's own done file is removed with the claim; one
	// that has lost its file is taken as a file after StaleAfter.
	DoneFile string
	// Hardlinks is "copy" (default), "take" or "reject": what becomes of files that have
	// more than one name. Copies fill at most a tenth of the disk.
	Hardlinks string

	// MaxFileSize is the size in bytes above which a file isn't hashed, nor stored as an
	// object. The job is published all the same, with its size. Defaults to 100 MB.
	MaxFileSize int64
	// Priority is the lane of the jobs. Defaults to normal.
	Priority pipeline.Priority
	// Transfer is "path" or "object".
	Transfer string

	// MaxInFlight is how many files are claimed and not yet finished at most; the folder
	// itself is the buffer beyond it. Defaults to 1000.
	MaxInFlight int
	// MinFree is the free space in bytes on the folder's file system below which nothing
	// is claimed. Defaults to 1 GiB; 0 disables.
	MinFree int64
	// StateDir is where the ledger is kept, in a folder named after the source. Empty means
	// .backburn below Path; name another place for a folder that cannot be written to. Only
	// with Claim = "keep".
	StateDir string

	// After is what becomes of a claimed file at its final event.
	After After
	// Sidecar writes the final event as JSON beside the file that it is about, or into
	// .backburn/done/<verdict>/ where the file is deleted or restored.
	Sidecar bool
}

// After says what becomes of a claimed file at its final event: "keep", "delete",
// "restore", or the name of a folder to move it to (one with a slash in it; created when
// it isn't there). An unrecognised verdict goes the way of "keep".
type After struct {
	Benign    string
	Malicious string // malware, grayware, phishing, c2
	Failed    string
}

// DefaultConfig returns the defaults of every field but Path and Source.
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

// DefaultDefer returns the names under which programs are known to write before they
// rename: rsync, FTP servers, browsers, editors, desktop environments.
func DefaultDefer() []string {
	return []string{
		".*", "~$*", "*~", "#*#",
		"*.tmp", "*.temp", "*.part", "*.partial", "*.filepart", "*.crdownload", "*.download",
		"*.opdownload", "*.writing", "*.inprogress", "*.!qB", "*.aria2", "*.camelLock",
		"sed??????",
	}
}

var sourceName = regexp.MustCompile(`^[a-z0-9_-]{1,32}$`)

// Validate reports everything that is wrong, joined, each error naming its TOML key
// relative to the table.
func (c Config) Validate() error {
	var errs []error
	bad := func(key, format string, args ...any) {
		errs = append(errs, fmt.Errorf("%s: %w", key, fmt.Errorf(format, args...)))
	}
	oneOf := func(key, got string, want ...string) {
		for _, v := range want {
			if got == v {
				return
			}
		}
		bad(key, "%q is not one of %s", got, strings.Join(want, ", "))
	}
	positive := func(key string, d time.Duration) {
		if d <= 0 {
			bad(key, "%s is not a positive duration", d)
		}
	}

	if c.Path == "" {
		bad("path", "name the folder to watch")
	}
	if !sourceName.MatchString(c.Source) {
		bad("source", "%q does not match [a-z0-9_-]{1,32}", c.Source)
	}
	oneOf("claim", c.Claim, ClaimMove, ClaimKeep)
	oneOf("watch", c.Watch, WatchAuto, WatchEvents, WatchPoll)
	oneOf("transfer", c.Transfer, TransferPath, TransferObject)
	oneOf("hardlinks", c.Hardlinks, HardlinksCopy, HardlinksTake, HardlinksReject)
	if c.Settle < 0 {
		bad("settle", "%s is negative", c.Settle)
	}
	positive("scan", c.Scan)
	positive("stale_after", c.StaleAfter)
	for _, g := range []struct {
		key   string
		globs []string
	}{{"exclude", c.Exclude}, {"defer", c.Defer}} {
		for _, p := range g.globs {
			if _, err := path.Match(p, ""); err != nil || p == "" {
				bad(g.key, "%q is not a glob", p)
			}
		}
	}
	if err := settle.CheckDoneFile(c.DoneFile); err != nil {
		bad("done_file", "%w", err)
	}
	if c.MaxFileSize <= 0 {
		bad("max_file_size", "%d is not a positive number of bytes", c.MaxFileSize)
	}
	if c.MinFree < 0 {
		bad("min_free", "%d is negative", c.MinFree)
	}
	if c.StateDir != "" && c.Claim != ClaimKeep {
		bad("state_dir", `only claim = "keep" can keep its state elsewhere; claimed files have to stay on the folder's own file system`)
	}
	if !c.Priority.Valid() {
		bad("priority", "%q is not one of urgent, normal, bulk", c.Priority)
	}
	if c.MaxInFlight <= 0 {
		bad("max_in_flight", "%d is not a positive number", c.MaxInFlight)
	}
	for _, a := range []struct{ key, action string }{
		{"after.benign", c.After.Benign}, {"after.malicious", c.After.Malicious}, {"after.failed", c.After.Failed},
	} {
		if err := c.checkAfter(a.action); err != nil {
			bad(a.key, "%w", err)
		}
	}
	return errors.Join(errs...)
}

// checkAfter judges one field of After.
func (c Config) checkAfter(action string) error {
	switch action {
	case AfterKeep:
		return nil
	case AfterDelete, AfterRestore:
		if c.Claim == ClaimKeep {
			return fmt.Errorf(`%q needs claim = "move"; with claim = "keep" files stay where they are`, action)
		}
		return nil
	}
	if !strings.ContainsAny(action, `/\`) {
		return fmt.Errorf(`%q is not "keep", "delete", "restore" or a folder; write a relative folder with a slash, such as "./archive"`, action)
	}
	if c.Claim == ClaimKeep {
		return errors.New(`moving to a folder needs claim = "move"; with claim = "keep" files stay where they are`)
	}
	if c.Path != "" && within(c.Path, action) {
		return fmt.Errorf("%q is inside the watched folder and would be taken again; name a folder outside it", action)
	}
	return nil
}

// within reports whether name is folder or below it, going by the names alone.
func within(folder, name string) bool {
	f, err1 := filepath.Abs(folder)
	n, err2 := filepath.Abs(name)
	if err1 != nil || err2 != nil {
		return false
	}
	rel, err := filepath.Rel(f, n)
	return err == nil && rel != ".." && !strings.HasPrefix(rel, ".."+string(filepath.Separator))
}

// usesLedger reports whether the configuration puts files that were handed over where the
// watcher will see them again.
func (c Config) usesLedger() bool {
	return c.Claim == ClaimKeep ||
		c.After.Benign == AfterRestore || c.After.Malicious == AfterRestore || c.After.Failed == AfterRestore
}
