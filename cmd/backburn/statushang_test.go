package main

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"backburn/internal/app"
	"backburn/internal/health"
	"backburn/internal/testkit"
)

// A process whose NATS server accepts connections and then hangs answers late, because it waits for
// the server, too. Its state is shown nevertheless.
func TestStatusWhileNATSHangs(t *testing.T) {
	t.Parallel()
	hanging, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = hanging.Close() })
	givenUp := make(chan struct{})
	go func() {
		c, err := hanging.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		_, _ = io.Copy(io.Discard, c)
		close(givenUp)
	}()

	process := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		<-givenUp
		st := app.NewStatus()
		st.Role = "run"
		st.Away = &app.Away{Since: time.Now(), Reason: "NATS does not answer"}
		st.Parts = []health.Status{{Part: "queue", State: health.Failed, Since: time.Now(), Reason: "no answer in time"}}
		_ = json.NewEncoder(w).Encode(st)
	}))
	t.Cleanup(process.Close)

	s := testkit.NewSite(t)
	s.Configure(testkit.Settings{
		"nats.url":              "nats://" + hanging.Addr().String(),
		"nats.embedded.enabled": false,
		"http.listen":           process.Listener.Addr().String(),
	})
	p := s.Start("backburn", "status", "--json")
	if code := p.Wait(); code != 4 {
		t.Errorf("exit code %d, want 4", code)
	}
	var st app.Status
	if err := json.Unmarshal([]byte(p.Stdout()), &st); err != nil || st.Role != "run" || len(st.Parts) != 1 {
		t.Errorf("%s: %v", p.Stdout(), err)
	}
}
