// Package format encodes events in the formats that log consumers read: the CloudEvent as
// published, the Elastic Common Schema (ECS), the Open Cybersecurity Schema Framework (OCSF) and
// the Common Event Format (CEF).
//
// One table (rows) maps each field to every format, and docs/formats.md is generated from it. The
// encoding depends only on the event and on Backburn's version. Fields without a counterpart in a
// format are written beside its standard fields: below "backburn" in ECS, below "unmapped" in OCSF,
// as labeled custom fields in CEF, as far as CEF has enough of them.
//
// File names, links and metadata come from attackers and are only ever data: JSON and CEF escape
// them, and no value can start a new line or a new field.
package format

//go:generate go test -run TestDocument . -update
