package wildfire_test

import (
	"bytes"
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http/httptest"
	"testing"

	"backburn/wildfire"
	"backburn/wildfire/wildfiretest"
)

// start serves a simulated WildFire and returns a client for it.
func start(t testing.TB, server *wildfiretest.Server, change ...func(*wildfire.Config)) (*wildfire.Client, *httptest.Server) {
	t.Helper()
	web := server.Start()
	t.Cleanup(web.Close)

	return client(t, web.URL, wildfire.StaticToken("token"), change...), web
}

func client(t testing.TB, url string, tokens wildfire.TokenSource, change ...func(*wildfire.Config)) *wildfire.Client {
	t.Helper()
	cfg := wildfire.DefaultConfig()
	cfg.BaseURL = url
	for _, f := range change {
		f(&cfg)
	}
	c, err := wildfire.New(cfg, tokens)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)

	return c
}

// file returns a File with the given contents.
func file(name, contents string) wildfire.File {
	return wildfire.File{
		Name: name,
		Size: int64(len(contents)),
		Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader([]byte(contents))), nil },
	}
}

func sha256Of(contents string) string {
	sum := sha256.Sum256([]byte(contents))
	return hex.EncodeToString(sum[:])
}

func md5Of(contents string) string {
	sum := md5.Sum([]byte(contents))
	return hex.EncodeToString(sum[:])
}
