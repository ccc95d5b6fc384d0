package natsconn

// WarnInClear is tested without a connection to another machine.
var WarnInClear = warnInClear
