// Package wildfire talks to the public API of Palo Alto Networks WildFire, and to the
// WF-500 appliance: it submits files and links, asks for verdicts, and fetches reports,
// samples and captures.
//
//	client, err := wildfire.New(wildfire.DefaultConfig(), tokens)
//	submission, err := client.SubmitFile(ctx, wildfire.File{Name: "invoice.exe", Size: size, Open: open})
//	records, err := client.Verdicts(ctx, []string{submission.SHA256})
//
// # What it guarantees
//
//   - A file is streamed with a known length and hashed on the way; its contents are never held in memory.
//   - A missing verdict is an error, or a record without HasVerdict, and never 0: 0 means benign.
//   - A submission that WildFire answered with success is never reported as failed because the answer was
//     cut short or had fields missing: it was counted, so it comes back as [Submission] with Uncertain set.
//   - An answer in another form than WildFire's, such as a captive portal's login page with 200, is never
//     taken for WildFire's. It matches [ErrForeignAnswer], and APIError.Foreign describes it.
//   - Every failure is an [*APIError] that names the operation and matches exactly one of the package's
//     specific sentinels, so that a 413 for a file differs from a 413 for a list of hashes.
//   - Credentials go to the configured host alone, in the Authorization header or a form field: never
//     into a URL, never along a redirect, never into an error.
//   - Answers are read through limits of size, depth and number of elements; documents with a DTD are refused.
//     A [Report] is read as a stream, and has bounds for every list and string in it.
//   - A [Client] is safe for concurrent use, and no goroutine outlives a call, except where a file's reader
//     hangs and not even closing it ends that.
//
// # What it does not do
//
// It keeps no account of quotas, waits for no rate limit and does not retry, with three exceptions.
// A call answered 401 is repeated once with the token that the [TokenSource] then gives. An upload
// whose connection broke in the middle of the request body is sent once more, because a service
// that refuses a large body early may close the connection before its status is read. One that
// asked for a go-ahead and was answered 417 is sent without asking. Everything else is told to the
// caller, who knows what a repetition costs. It does not fall back to another region: moving
// samples between regions is a legal decision.
package wildfire
