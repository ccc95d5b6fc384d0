package auth_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"

	"backburn/auth"
	"backburn/auth/authtest"
)

// An HTTP client whose requests carry the token. After a 401 they are sent again, once, with the
// next token.
func ExampleSource_RoundTripper() {
	server := authtest.NewServer(authtest.Config{ClientID: "a1b2c3", ClientSecret: "a secret", ClientAuth: auth.ClientAuthBasicRaw})
	defer server.Close()

	api := httptest.NewServer(server.Protect(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "hello")
	})))
	defer api.Close()

	source, err := auth.New(auth.Profile{
		Name:         "saas",
		Kind:         auth.KindDataSecurity,
		URL:          api.URL,
		TokenURL:     server.TokenURL(),
		ClientID:     "a1b2c3",
		ClientSecret: auth.NewSecret("a secret"),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer source.Close()

	client := http.Client{Transport: source.RoundTripper(nil)}
	for range 2 {
		resp, err := client.Get(api.URL + "/incidents")
		if err != nil {
			fmt.Println(err)
			return
		}
		_ = resp.Body.Close()
		fmt.Println(resp.Status)
	}

	fmt.Println("token requests:", len(server.Requests()))
	// Output:
	// 200 OK
	// 200 OK
	// token requests: 1
}
