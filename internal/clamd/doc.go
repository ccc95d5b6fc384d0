// Package clamd speaks the protocol of ClamAV's clamd (clamd(8), "COMMANDS"), so that what asks
// clamd about files asks WildFire: rspamd, amavis, c-icap, squidclamav, Exim, clamdscan, Nextcloud.
//
// # What it does
//
// A verdict that is known is answered at once. Contents without one are submitted and waited for;
// what they are answered with after that is the configuration's choice ([Config.Unknown]). A
// malicious verdict is told as a signature, such as "stream: WildFire.malware FOUND".
//
// Commands may have the prefix n or z, or none; sessions (IDSESSION) answer their commands as they
// are done, each with its number. INSTREAM, FILDES and the commands that name a path below
// [Config.Roots] are judged; a path beyond them is refused. SHUTDOWN and STREAM are unknown
// commands.
//
// # What it guarantees
//
// OK means a finished verdict that is not malicious, or no contents at all. It means anything else
// only where Config.Unknown says so, and then the contents were accepted and their verdict comes as
// an event. What could not be looked up or submitted is an ERROR.
//
// Memory is bounded: connections, commands under way, and what is held of each stream. A peer that
// sends nothing, or does not read, is given up.
//
// # What it does not do
//
// It authenticates nobody; package local says who may connect. Archives are judged as they are.
package clamd
