// Package depguard holds tests, and nothing else: that the packages of this module import each
// other in one direction only, that the files of a package refer to each other in one direction,
// and that no type has very many methods.
package depguard
