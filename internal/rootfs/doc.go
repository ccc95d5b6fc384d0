// Package rootfs works with files beneath a folder without ever leaving it.
//
// # What it does
//
// A [Root] is a folder that is held open. Every name is resolved beneath it, one component
// after the other, and none of them may be a symbolic link. [Root.Open] opens regular files
// only and never blocks, whatever the name turns out to be. [Root.WriteFile] writes a file
// durably and all at once. [Move] renames without replacing.
//
// # What it guarantees
//
//   - Whoever may write to the folder cannot lead its user elsewhere: not by links, not by
//     exchanging a folder for a link between two calls, not by "..".
//   - The folder stays the same one, whatever becomes of its name.
//   - An error says whose fault it is; see [CauseOf].
//
// Linux resolves names with openat2(2), and component by component where that system call is
// missing or filtered. macOS and Windows resolve them with [os.Root].
//
// # What it does not do
//
// Links in the name of the root itself are the operator's choice and are followed. Mounts
// beneath the root are followed unless it was opened with [OneMount]. Hard links are not
// noticed; [State] has their number.
//
// Names are relative and slash-separated, and may hold any bytes but NUL. The package imports
// nothing of this module.
package rootfs
