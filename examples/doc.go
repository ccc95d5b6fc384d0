// Package examples has example gateways and consumers in several languages. Its tests run those
// whose language is installed, with a real server and the permissions of a gateway and a consumer.
package examples
