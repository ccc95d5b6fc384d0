// Package schema holds the JSON Schemas (draft 2020-12) of the contracts: the jobs that
// gateways publish, and the events that services consume.
package schema

import _ "embed"

// Job is the schema of a JSON job, version 1.
//
//go:embed job.v1.json
var Job []byte

// Event is the schema of every event, version 1.
//
//go:embed event.v1.json
var Event []byte
