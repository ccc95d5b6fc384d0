// Package jets has the shared basis of all JetStream code: one classification of errors, retries of
// requests without an answer, and typed keys with compare-and-set.
//
// Every function that makes requests bounds each of them, and repeats unanswered ones until the
// caller's context ends. A repeated request may have been carried out twice, so requests must be
// safe to repeat: writes carry a message ID or the expected revision.
//
// The package knows no stream, subject or bucket of its own, and imports only package backoff of
// this module.
package jets
