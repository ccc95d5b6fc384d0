// Package watch takes complete files from a folder and publishes each as a job, in effect exactly
// once.
//
// # What it does
//
// A [Watcher] watches one folder. It claims a file that has not changed for a while and that nobody
// has open for writing, by an atomic rename into .backburn/claimed below the folder. It hashes the
// file, makes the claim durable, and publishes the file as a [pipeline.Job] through [Intake]. When
// [Outcomes] delivers the job's final event, the watcher disposes of the file as [After] says.
//
// # How it decides
//
// File system events, scans and restarts only put names into one bounded set. One part then
// examines each file and decides about it. Events may be lost; scans find what they missed.
//
//	events, scans ─► pending ─► examine (stat, settle)
//	                             └─► take (open, lease, rename) ─► hash ─► sync ─► publish
//
// Package settle decides how long a file must stay unchanged, package spool manages the folder of
// claimed files, and package ledger records submitted files that scans still find in the folder,
// because they stay there or were returned. A session wires the parts: the finder reports names,
// the decider judges them, the opener opens files and passes them to a claimer, the finisher
// disposes of files whose jobs have ended, the maintainer checks the folder itself, and the
// reconciler compares the claimed files with the queue's jobs.
//
// # Guarantees
//
//   - Nothing is lost. Before the claim, a file is in the folder: the next scan finds files whose
//     names did not fit into memory, whose events the kernel dropped, or whose folder was missing.
//     After the claim, it is in .backburn/claimed: the files there are published again at startup,
//     and whenever the queue has lost their jobs.
//   - No file is taken half-written: not while a process on this machine has it open for writing,
//     nor while its writer pauses for less than Config.Settle. Where writers cannot be detected (on
//     Linux, other users' files without CAP_LEASE; on macOS, all files), only a pause counts, and
//     it has to be five times as long.
//   - A file is disposed of only if the verdict is about its present contents. It is hashed again
//     first, and becomes a new job if it has changed. There are two exceptions: a file that was too
//     large to be hashed is only compared by size, and with After = "keep", one that may not be
//     opened is moved unchecked.
//   - Paths cannot leave the folder: names are resolved beneath it, and no link is followed.
//   - A faulty file does not stop the others. It is reported after Config.StaleAfter and retried.
//   - Nothing is submitted twice: the job ID is made once, at the claim, and is part of the claimed
//     file's name, so every repeat has the same ID. With Claim = "keep", it is derived from the
//     file.
//
// # What it leaves on the disk
//
// Everything is in .backburn, which is in the watched folder or, with Config.StateDir, in
// StateDir/Source. Only the watcher's user can write to .backburn:
//
//	claimed/<id>-<name>         claimed and unfinished; jobs refer to these files
//	done/<verdict>/<id>-<name>  finished, with After = "keep"; done/failed for failures;
//	                            may be removed at any time
//	beside/<id>                 the description of a claimed file, with Config.Metadata
//	paths/<tag>                 the folders in which claimed files were found
//	tmp/                        partly written files
//	folder                      the folder's own ID
//	ledger.db, ledger.db.lock   with Claim = "keep" or After = "restore"
//
// Several watchers may share a folder: the one that renames a file has claimed it, and the first to
// receive a final event finishes the file. If there is a ledger, one watcher works and the others
// stand by.
//
// # What it does not do
//
// A watcher cannot know that a program which stopped in the middle of a file will continue an hour
// later; use Config.DoneFile for that. Nor can it detect writers on other machines (network file
// systems); it waits longer there. It does not judge contents: an empty file (after
// Config.StaleAfter) and a file over the size limit become jobs like any other, and the worker ends
// them with a reason.
//
// With Claim = "keep" nothing in the folder is moved, and a ledger records what was submitted.
// Config documents the costs.
package watch
