package auth

// apiKey is a static legacy WildFire key.
var apiKey = preset{
	grant:       newKeyGrant,
	keys:        []string{"api_key_file"},
	required:    []string{"api_key_file"},
	unshared:    true,
	formField:   true,
	refusedHint: "check the key, and that it belongs to this service",
}
