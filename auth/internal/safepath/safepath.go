// Package safepath checks whether other users of the machine can replace an element of a path: the
// file, for example by a link, or one of its folders.
package safepath

// NoFollow makes opening fail if the last element of a path is a symbolic link.
const NoFollow = noFollow
