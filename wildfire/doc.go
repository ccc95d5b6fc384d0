// Package wildfire is a client of the public API of Palo Alto Networks WildFire and of the WF-500
// appliance. It submits files and links, asks for verdicts, and fetches reports, samples and
// network captures.
//
//	client, err := wildfire.New(wildfire.DefaultConfig(), tokens)
//	file := wildfire.File{Name: "invoice.exe", Size: size, Open: open}
//	submission, err := client.SubmitFile(ctx, file)
//	records, err := client.Verdicts(ctx, []string{submission.SHA256})
//
// # What it guarantees
//
//   - A file is streamed with a known length and hashed on the way. Its contents are never held in
//     memory.
//   - A missing verdict is an error, or a record without HasVerdict. The field Verdict is then 0,
//     which would mean benign: do not read it.
//   - If WildFire accepts a file, but its receipt is cut off after its beginning or lacks fields,
//     the call does not fail, because the upload was counted. The call returns a [Submission] with
//     Uncertain set.
//   - An answer that is not WildFire's, such as a captive portal's login page with status 200, is
//     an error that matches [ErrForeignAnswer]. APIError.Foreign describes the answer.
//   - Every failed call returns an [*APIError] that names the operation and matches exactly one
//     specific sentinel of this package. So a 413 for a file differs from a 413 for a list of
//     hashes.
//   - Credentials are sent only to the configured host, in the Authorization header or a form
//     field. They are never in a URL or an error, and never follow a redirect.
//   - Answers are read with limits on size, depth and number of elements. Documents with a DTD are
//     refused. A [Report] is read as a stream, with a limit for every list and string.
//   - A [Client] is safe for concurrent use. No goroutine outlives a call, except those of idle
//     connections (see [Client.Close]) and of a file's reader that blocks even after it was closed.
//
// # What it does not do
//
// It does not count quotas, limit rates or retry, with three exceptions:
//
//   - A call answered 401 is repeated once, with the token that the [TokenSource] returns then.
//   - A large upload (see [Config].ExpectContinue) is repeated once if the connection breaks while
//     the body is sent: a service that refuses a large body may close the connection before its
//     status is read.
//   - An upload with "Expect: 100-continue" that is answered 417 is repeated without that header.
//
// It does not fall back to another region, because moving samples between regions is a legal
// decision.
//
// # Stability
//
// The exported names follow semantic versioning: within a major version they are not removed or
// changed. New fields may be added to structs, and new values to [Verdict] and [Op], so set fields
// by name and expect unknown values. The texts of errors may change.
package wildfire
