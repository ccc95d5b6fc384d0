package api

import (
	"fmt"
	"unicode/utf8"

	"backburn/auth"
	"backburn/internal/httpserver"
	"backburn/pipeline"
)

// Config configures the API: the keys of [api].
type Config struct {
	httpserver.Config `toml:",inline"`

	MaxFileSize int64   `toml:"max_file_size" unit:"bytes" doc:"Largest file that is accepted."`
	Tokens      []Token `toml:"token" doc:"A token for clients (Authorization: Bearer), and what it allows. The API needs at least one."`
}

// DefaultConfig returns the defaults, under which nothing listens.
func DefaultConfig() Config {
	return Config{Config: httpserver.DefaultConfig(), MaxFileSize: 100_000_000, Tokens: []Token{}}
}

// Check calls bad for each key with an invalid value.
func (c Config) Check(bad func(key, expected string, related ...string)) {
	want := pipeline.Wants(bad)
	want(c.Listen == "" || len(c.Tokens) > 0, "token", "at least one [[api.token]]", "listen")
	want(c.Listen == "" || c.Local() || c.WebConfigFile != "", "listen",
		"api.web_config_file with TLS as well, because tokens would be sent unencrypted", "web_config_file")
	want(c.MaxFileSize > 0, "max_file_size", "more than 0")
}

// Token is a client's token and its permissions.
type Token struct {
	File     string            `toml:"file" own:"secret" example:"/run/secrets/backburn-api" doc:"File with the token, mode 0600, at least 16 characters, such as from: openssl rand -hex 32. Read again every second."`
	Source   string            `toml:"source" doc:"Source of the jobs submitted with this token. The token sees only jobs and events of this source. Several tokens may share a source."`
	Priority pipeline.Priority `toml:"priority" doc:"Default priority of a request: \"urgent\", \"normal\" or \"bulk\"."`
	Urgent   bool              `toml:"urgent" doc:"Allow requests with the priority urgent."`
	Rate     float64           `toml:"rate" doc:"Submissions per second. More are answered with 429. 0: no limit."`
	Burst    int               `toml:"burst" doc:"Submissions that may arrive at once without being limited."`
}

// DefaultToken returns the defaults of an [[api.token]].
func DefaultToken() Token { return Token{Source: "api", Priority: pipeline.Normal, Burst: 10} }

// Check calls bad for each key with an invalid value.
func (t Token) Check(bad func(key, expected string, related ...string)) {
	want := pipeline.Wants(bad)
	want(t.File != "", "file", "a file with the token, mode 0600")
	want(pipeline.ValidSource(t.Source), "source", pipeline.SourceRule)
	want(t.Priority.Valid(), "priority", pipeline.PriorityRule)
	want(t.Priority != pipeline.Urgent || t.Urgent, "priority", `"normal" or "bulk", or urgent = true as well`, "urgent")
	want(t.Rate >= 0 && t.Rate <= 1e6, "rate", "a number from 0 to 1000000") // not NaN
	want(t.Burst >= 1, "burst", "1 or more")
}

// minToken is the shortest token that cannot be guessed, in characters.
const minToken = 16

// Read reads the token's file.
func (t Token) Read() (auth.Secret, error) {
	token, err := auth.ReadSecretFile(t.File)
	if err != nil {
		return auth.Secret{}, err
	}
	if n := utf8.RuneCountInString(token.Reveal()); n < minToken {
		return auth.Secret{}, fmt.Errorf("%q has a token of %d characters; expected at least %d, for example from: openssl rand -hex 32", t.File, n, minToken)
	}

	return token, nil
}
