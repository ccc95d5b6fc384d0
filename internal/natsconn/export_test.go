package natsconn

// WarnUnencrypted is tested without a connection to another machine.
var WarnUnencrypted = warnUnencrypted

// Explain is tested with errors that depend on timing.
var Explain = explain
