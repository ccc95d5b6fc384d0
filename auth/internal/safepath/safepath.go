// Package safepath checks whether other users of the machine can replace a path: a file by a link,
// or one of its folders by another.
package safepath

// NoFollow makes opening fail if the last element of a path is a symbolic link.
const NoFollow = noFollow
