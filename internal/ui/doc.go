// Package ui is the dashboard for operators: one page with the health of the system, the last 24
// hours in numbers, all decided files, and the state of the fleet.
//
// The page is a single document with inline style and script. Its Content-Security-Policy allows
// only these two, by their hashes, and requests to its own origin. The page requests /api/status
// and /api/search two seconds after the last answer, and /api/overview every ten seconds. If the
// process does not answer, the page says so. While the page is hidden, it requests nothing. Its URL
// contains the search and the displayed file. File names come from attackers: the page writes text,
// never markup (enforced by Trusted Types), and shows invisible characters, and those that change
// the direction of writing, as code points.
//
// The page and its API change nothing, except for the actions of logged-in users (see Actions),
// which have audit events. The answer about one job contains its metadata, which may name people;
// lists do not.
package ui
