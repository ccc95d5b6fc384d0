// Package auth obtains, keeps, shares and renews the credentials of the services that
// Backburn calls.
//
// A [Profile] names one credential at one of five kinds of service; [New] makes a
// [Source] of it. Source.Token returns a token that is good to send now, without locks
// or allocations while it is fresh. Source.Rejected says that a service answered 401 to
// it; the call goes by value, so a hundred workers that saw the same 401 cause one new
// token. Source.RoundTripper does both for an HTTP client.
//
// It guarantees:
//
//   - One token request at a time for a Source, whatever the number of callers, and, with
//     a [Bucket], one for the whole fleet.
//   - No storms: failures, Retry-After and refused credentials are remembered, and callers
//     are told when to come again instead of asking the server once more.
//   - A caller waits only as long as its own context allows, and never cancels the request
//     that others wait for.
//   - A token is renewed in the background while the old one is still good.
//   - A refresh token is durable before the access token that came with it is used.
//   - No secret or token in any log line, error, metric, status, bucket or state file in
//     the clear. Errors carry a status and a code, never a body or a header.
//
// It does not verify tokens (they are opaque, meant for somebody else), does not expand
// environment variables (configuration does), and does not retry on behalf of callers
// beyond what renewing needs: *[AuthError] says how long to wait.
package auth
