// Package conformance runs the pipelines of examples/connect by Benthos, the engine of Redpanda
// Connect: Backburn's webhook delivers, and stand-ins of Splunk's HTTP Event Collector and of
// Elasticsearch's bulk API receive. The outputs to Kafka and S3 are not part of Benthos; stand-ins
// with the fields that the vendor documents take their place. It is a module of its own, so that
// the dependencies of Benthos stay out of the product's. Run its tests with
// "cd examples/connect/conformance && go test ./...".
package conformance
