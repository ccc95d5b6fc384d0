// Package gateway submits files and links to Backburn from other programs: mail gateways, proxies,
// sensors. It needs a NATS connection and the permissions of the role "gateway" (`backburn acl
// gateway`), and nothing else.
//
// A [Gateway] belongs to one source. [Gateway.SubmitFile], [Gateway.SubmitReader] and
// [Gateway.SubmitLink] return once the job and its contents are durable. From then on Backburn is
// responsible: the job ends in exactly one final event, which package results reads.
//
// # What it guarantees
//
//   - After a nil error the job survives any crash. After an error nothing was accepted, or the
//     same call may be repeated with the same ID without a second job.
//   - Contents are never held in memory as a whole, unless they fit into one NATS message.
//   - Every error that a caller may want to handle matches one of the sentinels of this package.
//
// # What it does not do
//
// It does not wait for verdicts, and it does not wait until a full queue has room. A request
// without an answer is repeated only until the context of the call ends, so give each call a
// deadline. [ErrFull] and [ErrUnavailable] mean: try again later, with the same ID.
//
// # Stability
//
// The exported names follow semantic versioning: within a major version they are not removed or
// changed. New fields may be added to [Job], [Receipt] and [Config], so set their fields by name.
package gateway
