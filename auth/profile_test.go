package auth_test

import (
	"strings"
	"testing"

	"backburn/auth"
)

func TestValidateReportsEveryProblem(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		edit func(*auth.Profile)
		want []string // every problem begins with one of these, and each is there
	}{
		{"right", func(*auth.Profile) {}, nil},
		{"nothing set", func(p *auth.Profile) { *p = auth.Profile{Name: "x"} }, []string{"auth.x.kind"}},
		{"everything missing", func(p *auth.Profile) { *p = auth.Profile{Name: "x", Kind: auth.KindWildFire} }, []string{"auth.x.client_id", "auth.x.client_secret_file", "auth.x.tsg_id"}},
		{"WatchGuard without a key", func(p *auth.Profile) { p.Kind = auth.KindWatchGuard }, []string{"auth.wildfire.api_key_file"}},
		{"Cortex without a scope", func(p *auth.Profile) { p.Kind = auth.KindCortex }, []string{"auth.wildfire.scope"}},
		{"key without a file", func(p *auth.Profile) { *p = auth.Profile{Name: "x", Kind: auth.KindAPIKey} }, []string{"auth.x.api_key_file"}},
		{"unknown kind", func(p *auth.Profile) { p.Kind = "oauth" }, []string{"auth.wildfire.kind"}},
		{"two secrets", func(p *auth.Profile) { p.ClientSecretFile = "x" }, []string{"auth.wildfire.client_secret"}},
		{"tenant that is no number", func(p *auth.Profile) { p.TSGID = "12a" }, []string{"auth.wildfire.tsg_id"}},
		{"in the clear", func(p *auth.Profile) { p.TokenURL = "http://auth.example/token" }, []string{"auth.wildfire.token_url"}},
		{"in the clear to this machine", func(p *auth.Profile) { p.TokenURL = "http://127.0.0.1:1/token" }, nil},
		{"in the clear to this machine, by name", func(p *auth.Profile) { p.TokenURL = "http://LocalHost:1/token" }, nil},
		{"in the clear to this machine, IPv6", func(p *auth.Profile) { p.TokenURL = "http://[::1]:1/token" }, nil},
		{"in the clear to a name that looks like it", func(p *auth.Profile) { p.TokenURL = "http://127.0.0.1.example/" }, []string{"auth.wildfire.token_url"}},
		{"credentials in a URL", func(p *auth.Profile) { p.URL = "https://a:canary-secret-0b7e@x/" }, []string{"auth.wildfire.url"}},
		{"not a URL", func(p *auth.Profile) { p.AuthorizeURL = "https://a:canary-secret-0b7e@%zz" }, []string{"auth.wildfire.authorize_url"}},
		{"relative", func(p *auth.Profile) { p.RedirectURL = "/callback" }, []string{"auth.wildfire.redirect_url"}},
		{"unknown style", func(p *auth.Profile) { p.ClientAuth = "auto" }, []string{"auth.wildfire.client_auth"}},
		{"unknown share", func(p *auth.Profile) { p.Share = "maybe" }, []string{"auth.wildfire.share"}},
		{"unknown body", func(p *auth.Profile) { p.Body = "xml" }, []string{"auth.wildfire.body"}},
		{"JSON for another kind", func(p *auth.Profile) { p.Body = auth.BodyJSON }, []string{"auth.wildfire.body"}},
		{"wrong region", func(p *auth.Profile) { p.Kind, p.Region = auth.KindDataSecurity, "moon" }, []string{"auth.wildfire.region"}},
		{"colon in a raw id", func(p *auth.Profile) { p.ClientID, p.ClientAuth = "a:b", auth.ClientAuthBasicRaw }, []string{"auth.wildfire.client_id"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := wildfireProfile()
			tt.edit(&p)
			err := p.Validate()
			if err == nil {
				if len(tt.want) > 0 {
					t.Fatalf("no problem, want %v", tt.want)
				}

				return
			}

			checkNoSecret(t, err)
			lines := strings.Split(err.Error(), "\n")
			if len(lines) != len(tt.want) {
				t.Errorf("%d problems, want %d: %v", len(lines), len(tt.want), err)
			}

			for _, key := range tt.want {
				if !strings.Contains(err.Error(), key+": ") {
					t.Errorf("%v does not name %s", err, key)
				}
			}

			if _, newErr := auth.New(p); newErr == nil {
				t.Error("New accepted the profile")
			}
		})
	}
}

func TestShareNeedsABucket(t *testing.T) {
	t.Parallel()
	p := wildfireProfile()
	p.Share = auth.ShareRequired
	if _, err := auth.New(p); err == nil || !strings.Contains(err.Error(), "auth.wildfire.share") {
		t.Errorf("got %v", err)
	}
	c := profileOf(t, auth.KindCortex)
	c.GrantFile = ""
	if _, err := auth.New(c); err == nil || !strings.Contains(err.Error(), "auth.cortex.grant_file") {
		t.Errorf("got %v", err)
	}
}
