// Package ui is what an operator looks at in a browser: one page with the state of the
// fleet, and the stream of verdicts that keeps it live.
//
// The page is one answer: its style and its script are part of it, and its
// Content-Security-Policy names both by their hash and allows nothing else but requests to
// where it came from. It asks /api/status every two seconds, listens on /api/events, and
// says so when the process does not answer. File names come from attackers: the page writes
// text, never markup (Trusted Types enforce it), and shows characters that have no
// shape, or turn the direction of writing, by their number.
//
// It changes nothing, and there is nothing in it to press but filters: what an operator
// does, he does with the backburn command.
package ui
