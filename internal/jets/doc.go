// Package jets is what everything that uses JetStream shares: one classification of its errors,
// retries of requests without an answer, and typed keys with compare-and-set.
//
// Every function bounds each single request and repeats those that the server left unanswered
// until the caller's context ends. A request that was repeated may have been carried out twice, so
// requests must be harmless to repeat: writes carry a message id or the expected revision.
//
// The package knows no stream, subject or bucket of its own, and imports nothing of this module.
package jets
