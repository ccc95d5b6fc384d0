// Package watch takes files out of a folder, each once, whole, and in effect exactly once.
//
// # What it does
//
// A [Watcher] looks after one folder. A file that has not changed for a while and that
// nobody has open for writing is claimed by an atomic rename into .backburn/claimed below
// the folder, made durable, hashed, and published as a [pipeline.Job] through [Intake].
// When [Outcomes] delivers the job's final event the file goes where [After] says.
//
// # How it decides
//
// Events are hints, scans are the truth, and the file is the judge. File system events,
// scans and restarts only put names into one bounded set, and one path decides about a
// name, whoever reported it:
//
//	events, scans ─► pending ─► look (stat, settle) ─► take (open, lease, rename) ─► hash ─► sync ─► publish
//
// Package settle knows how long a file must be left alone, package spool the folder that
// claimed files are in, and package ledger what is remembered of files that can be seen again.
// A session wires the parts: the finder reports names, the decider judges them, the opener opens
// files and gives them to a claimer, the tender looks after the folder itself, and the
// reconciler compares what is claimed with what the queue knows.
//
// # Guarantees
//
//   - Nothing is lost. Before the claim the folder is the queue: names that do not fit into
//     memory, events that the kernel dropped and folders that vanished for a while are
//     found by the next scan. After the claim .backburn/claimed is the queue: whatever is
//     found there at a start is published again, and so is what the queue loses meanwhile.
//   - Nothing is taken half-written by a writer on this machine (Linux: read leases), nor
//     by one that pauses for less than Config.Settle.
//   - What becomes of a file after its verdict is what that verdict is about: it is hashed again
//     first, and is a new job if it changed.
//   - Nobody is led out of the folder: names are resolved beneath it, and no link is followed.
//   - One file's fault is that file's. It is named after Config.StaleAfter and tried again.
//   - Nothing is doubled: the job's id is made once, at the claim, and is part of the
//     claimed file's name, so every repeat carries the same id.
//
// # What it leaves on the disk
//
// Everything is in .backburn below the folder, open to the watcher's user alone:
//
//	claimed/<id>-<name>         claimed and not yet finished; what jobs refer to
//	done/<verdict>/<id>-<name>  finished, with After = "keep"; done/failed for failures;
//	                            stays until somebody removes it, which is safe at any time
//	beside/<id>                 what lay beside a claimed file, with Config.Metadata
//	paths/<tag>                 the folders that claimed files were found in, while they are there
//	tmp/                        what is being written
//	folder                      the folder's own id
//	ledger.db                   with Claim = "keep" or After = "restore"
//
// Several watchers may share a folder: whoever renames a file has it, and whoever hears of
// a final event first deals with the file. Where there is a ledger one of them works and
// the others stand by.
//
// # What it does not do
//
// It cannot see that an uploader died and will come back in an hour; Config.DoneFile is for
// that. It cannot see writers on other machines (network file systems); it waits longer
// there. It does not judge contents: an empty file, which waits for Config.StaleAfter, and one
// over the size limit become jobs like any other, and whoever works on them ends them with a
// reason.
//
// With Claim = "keep" nothing in the folder is moved, and a ledger remembers what was
// handed over. Config.Claim says what that costs.
package watch
