// Package examples holds gateways and consumers to begin with, in several languages; its test
// runs those whose language is at hand against a real server with a gateway's and a consumer's
// permissions.
package examples
