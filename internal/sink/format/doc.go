// Package format writes events in the formats that consumers of logs read: the CloudEvent as it
// was published, the Elastic Common Schema (ECS), the Open Cybersecurity Schema Framework (OCSF)
// and the Common Event Format (CEF).
//
// Which field goes where is one table (rows), from which docs/formats.md is made. Encoding is a
// function of the event alone. What an event has and a format has no place for is kept beside the
// standard's own fields: "backburn" in ECS, "unmapped" in OCSF, the labeled custom fields in CEF.
//
// Names of files, links and metadata come from attackers. They are data everywhere: JSON and
// CEF escape them, and no value of an event can begin a new line or a new field.
package format

//go:generate go test -run TestDocument . -update
