// Package mail is a milter: a filter that mail servers such as Postfix and Sendmail consult for
// each mail.
//
// # What it does
//
// Every part of a mail that is neither its text, a delivery report nor a container is an
// attachment, unless it is empty. Each is submitted under its own name, with the Message-ID,
// sender, recipients and queue ID as metadata. Nested messages are split into their parts; archives
// are submitted whole. The mail is held until the verdicts arrive, at most for the configured time.
// The submissions and this wait take at most four minutes together. Then the mail is rejected,
// quarantined, or passed with a header that states the outcome.
//
// # What it guarantees
//
// All attachments of a mail that passes have been submitted durably. If one cannot be submitted,
// the mail is refused temporarily (451), and the sender retries. A part that cannot be parsed is
// treated as an attachment. Mails are parsed more leniently than the standards require, because
// mail clients do the same.
//
// Memory is bounded: there are limits on the connections and, for each mail, on the size of the
// header, the number of parts and how deeply they are nested. Bodies and attachments are spooled to
// disk.
//
// # What it does not do
//
// It does not open archives. It decodes neither TNEF (winmail.dat is submitted whole) nor uuencoded
// text.
package mail
