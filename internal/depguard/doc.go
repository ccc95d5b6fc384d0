// Package depguard holds a test, and nothing else: that the packages of this module
// import each other in one direction only.
package depguard
