package auth_test

import (
	"context"
	"fmt"
	"net/http"

	"backburn/auth"
	"backburn/auth/authtest"
)

// A Source as an HTTP client uses it.
func ExampleSource_RoundTripper() {
	server := authtest.NewServer(authtest.Config{ClientID: "0123abcd_rw_id", ClientSecret: "P@ssword", ClientAuth: auth.ClientAuthBasicRaw})
	defer server.Close()

	source, err := auth.New(auth.Profile{
		Name: "data-security", Kind: auth.KindDataSecurity, URL: server.URL,
		ClientID: "0123abcd_rw_id", ClientSecret: auth.NewSecret("P@ssword"), Scope: "api_access",
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer source.Close()

	token, err := source.Token(context.Background())
	fmt.Println(token != "", err, source.Status().State)

	client := http.Client{Transport: source.RoundTripper(nil)}
	_ = client // its requests to the service carry the token, and are sent again once after a 401
	// Output: true <nil> fresh
}
