// Package clamd speaks the protocol of ClamAV's clamd (clamd(8), "COMMANDS"), so that programs that
// ask clamd about files can ask WildFire: rspamd, amavis, c-icap, squidclamav, Exim, clamdscan,
// Nextcloud.
//
// # What it does
//
// A known verdict is returned at once. Contents without a verdict are submitted, and the client
// waits. If no verdict arrives in time, [Config.Unknown] determines the answer. A malicious verdict
// is returned as a signature, such as "stream: WildFire.malware FOUND".
//
// Commands may have the prefix n, the prefix z, or none. Sessions (IDSESSION) answer commands in
// the order in which they finish, each with its number. INSTREAM, FILDES and the commands with a
// path below [Config.Roots] are supported; other paths are refused. SHUTDOWN and STREAM are unknown
// commands.
//
// # What it guarantees
//
// OK means a final verdict that is not malicious, or no contents at all. If Config.Unknown is "ok",
// it can also mean that the contents were submitted and have no verdict, or none yet; their final
// event says which. Contents that could not be looked up or submitted lead to an ERROR.
//
// Memory is bounded: connections, running commands, and the buffered part of each stream. A client
// that neither sends nor reads is disconnected.
//
// # What it does not do
//
// It does not authenticate clients; package local limits who may connect. Archives are judged as
// they are.
package clamd
