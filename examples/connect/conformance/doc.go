// Package conformance runs the pipelines of examples/connect in Benthos, the engine of Redpanda
// Connect. Backburn's webhook delivers the events, and stand-ins for Splunk's HTTP Event Collector
// and Elasticsearch's bulk API receive them. Benthos has no outputs for Kafka and S3; they are
// replaced by stand-ins with the fields in the vendor's documentation. It is a separate module, so
// that the dependencies of Benthos are not dependencies of the product. Run its tests with "cd
// examples/connect/conformance && go test ./...".
package conformance
