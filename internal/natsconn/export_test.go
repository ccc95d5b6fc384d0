package natsconn

// WarnUnencrypted is tested without a connection to another machine.
var WarnUnencrypted = warnUnencrypted
