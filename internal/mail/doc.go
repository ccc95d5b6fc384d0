// Package mail is a milter: a filter that mail servers such as Postfix and Sendmail ask about every
// mail.
//
// # What it does
//
// Every attachment is submitted under its own name, with the Message-ID, sender, recipients and
// queue id as metadata: whatever is neither the text of the mail nor a container. Nested messages
// are taken apart, archives go as they are. The mail is held for the verdicts, for as long as the
// configuration says, and then rejected, quarantined, or passed with a header that tells the
// outcome.
//
// # What it guarantees
//
// A mail that passed had every attachment of it submitted durably; otherwise it is refused for now
// (451), and the sender tries again. What is not understood is an attachment: a mail is read more
// leniently than its standards say, since mail clients do so too.
//
// Memory is bounded: connections, the header, parts and depth of a mail. Bodies and attachments are
// spooled to disk.
//
// # What it does not do
//
// It opens no archives, and decodes neither TNEF (winmail.dat, which is submitted whole) nor
// uuencoded texts.
package mail
