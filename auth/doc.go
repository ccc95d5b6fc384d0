// Package auth obtains, caches, shares and renews the credentials of the services that Backburn
// calls.
//
// A [Profile] describes one credential of one [Kind] of service. [New] makes a [Source] from it:
//
//   - Source.Token returns a token that can be sent now. While the token is fresh, this takes no
//     lock and allocates nothing.
//   - Source.Accepted and Source.Rejected report how the service answered. A token that worked
//     before is renewed as soon as it is rejected. A token that never worked stops token requests
//     for a while. Both compare the token itself, so a hundred workers that see the same 401 cause
//     one renewal.
//   - Source.WaitReady waits while Token would fail at once.
//   - Source.RoundTripper does all of this for an HTTP client.
//
// Package cortex has the login and the refresh tokens of the Cortex hub.
//
// # What it guarantees
//
//   - A Source makes one token request at a time, however many callers wait. With a [Bucket] this
//     holds for the whole fleet, while the bucket is reachable.
//   - For a while after a failure, callers get the error and the time of the next attempt, and the
//     server is not asked. A Retry-After from the server decides how long, up to 5 minutes.
//   - A login, a new secret, or a token of another process ends this cool-down early, in every
//     process that gets it.
//   - A caller waits at most until its own context ends. It never cancels the request that others
//     wait for.
//   - A token is renewed in the background while the old one is still valid.
//   - A refresh token is durable before the access token that came with it is used. If it cannot be
//     stored, it is kept in memory, Status reports that, and storing is retried.
//   - No secret or token appears in the clear in a log, error, metric, status, bucket or state
//     file. Errors carry a status and a code, never a body or a header.
//
// # What it does not do
//
// It does not verify tokens, expand environment variables, or retry beyond what a renewal needs.
//
// # Stability
//
// The exported names follow semantic versioning: within a major version they are not removed or
// changed. New kinds of service and new fields may be added, so set the fields of [Profile] by
// name. Records in a Bucket are readable by adjacent minor versions.
package auth
