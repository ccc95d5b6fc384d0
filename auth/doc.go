// Package auth obtains, keeps, shares and renews the credentials of the services that
// Backburn calls.
//
// A [Profile] names one credential at one of five kinds of service; [New] makes a [Source] of
// it. Source.Token returns a token that is good to send now, without locks or allocations
// while it is fresh. Source.Accepted and Source.Rejected report what a service answered: a
// token that worked is renewed at once when it is refused, and one that never worked stops
// token requests for a while. Both go by value, so that a hundred workers that saw the same 401
// cause one new token. Source.WaitReady waits until Token has something to offer.
// Source.RoundTripper does all of this for an HTTP client.
//
// What is special about a [Kind] is in its preset. Package cortex has the login and the refresh
// tokens of the Cortex hub.
//
// It guarantees:
//
//   - One token request at a time for a Source, whatever the number of callers, and, with
//     a [Bucket], one for the whole fleet.
//   - No storms: after a failure, or while Retry-After says so, callers get the error and the
//     time of the next attempt, and the server is not asked.
//   - A cool-down ends as soon as its cause does: with a login, a new secret, or a token of
//     another process, in the whole fleet.
//   - A caller waits only as long as its own context allows, and never cancels the request
//     that others wait for.
//   - A token is renewed in the background while the old one is still good.
//   - A refresh token is durable before the access token that came with it is used.
//   - No secret or token in any log line, error, metric, status, bucket or state file in
//     the clear. Errors carry a status and a code, never a body or a header.
//
// It does not verify tokens, which are opaque here, does not expand environment variables, and
// does not retry on behalf of callers beyond what renewing needs.
package auth
