package natsd

import "strings"

// saysWriteFailed reports whether a text of the server says that it could not write its store.
func saysWriteFailed(text string) bool {
	return strings.Contains(text, "critical write error") || strings.Contains(text, "JetStream out of") || saysNoSpace(text)
}

// saysNoSpace reports whether a text of the server says that the disk is full.
func saysNoSpace(text string) bool {
	return strings.Contains(text, "no space left") || strings.Contains(text, "not enough space")
}
