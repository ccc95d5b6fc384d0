// Package safepath judges whether other users of the machine can exchange what lies at a path:
// a file for a link, or a folder on the way for another one.
package safepath

// NoFollow makes opening fail where the last element of a path is a link.
const NoFollow = noFollow
