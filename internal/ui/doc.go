// Package ui is what an operator looks at in a browser: one page with how everything is, what
// happened in the last 24 hours, every file that was decided, and the state of the fleet.
//
// The page is one answer: its style and its script are part of it, and its Content-Security-Policy
// names both by their hash and allows nothing else but requests to where it came from. It asks
// /api/status and /api/search every two seconds, /api/overview every ten, and says so when the
// process does not answer. What it looks for, and the file it shows, are in its address. File names
// come from attackers: the page writes text, never markup (Trusted Types enforce it), and shows
// characters that have no shape, or turn the direction of writing, by their number.
//
// The page and what it asks for change nothing, but for what a user does who has logged in (see
// Acts): each of these actions has its audit events. One job's answer has its metadata, which may
// name people; lists have not.
package ui
