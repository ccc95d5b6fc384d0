// Package rootfs works with files below a folder without ever leaving it.
//
// # What it does
//
// A [Root] is an open folder. Every name is resolved below it, component by component, and no
// component may be a symbolic link. [Root.Open] opens only regular files and never blocks, whatever
// the name refers to. [Root.WriteFile] writes a file durably and atomically. [Move] renames without
// replacing.
//
// # What it guarantees
//
//   - A user who may write to the folder cannot redirect its reader elsewhere: not by links,
//     not by replacing a folder with a link between two calls, not by "..".
//   - The folder stays the same, even if its name is changed or reused.
//   - Another user cannot redirect the name of the root, or a name given to [OpenPath], by a link
//     of his own.
//   - An error says what is at fault; see [CauseOf].
//
// Linux resolves names with openat2(2), and component by component where that system call is
// missing or filtered. macOS and Windows resolve them with [os.Root], and are weaker: [Move] and,
// on Windows, [Root.Lstat], [File.Writer] and [File.Sync] go by paths. So somebody who may rename
// the root, or replace a folder in a name between its check and the call, can redirect these calls.
// The name of the root is checked on macOS shortly before it is opened, and on Windows not at all.
//
// # What it does not do
//
// Links that belong to the superuser or to this user, in the name of the root itself, are the
// operator's choice and are followed. Mounts beneath the root are followed unless it was opened
// with [OneMount], and always on macOS and Windows. Hard links are not detected; [State] has their
// number.
//
// Names are relative and slash-separated, and may contain any bytes except NUL. The package imports
// nothing of this module.
package rootfs
