//go:build unix

package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"backburn/internal/testkit"
	"backburn/results"
	"backburn/wildfire"
)

// recordingProxy is a proxy that records everything that clients send.
type recordingProxy struct {
	listener net.Listener
	to       string

	mu   sync.Mutex
	sent bytes.Buffer
}

func newRecordingProxy(t *testing.T, to string) *recordingProxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}

	w := &recordingProxy{listener: l, to: to}
	var carried sync.WaitGroup
	carried.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}

			carried.Go(func() { w.forward(c) })
		}
	})
	t.Cleanup(func() { l.Close(); carried.Wait() })

	return w
}

func (w *recordingProxy) forward(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", w.to)
	if err != nil {
		return
	}
	go func() {
		_, _ = io.Copy(client, server)
		client.Close()
	}()
	_, _ = io.Copy(io.MultiWriter(w, server), client)
	server.Close()
}

func (w *recordingProxy) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()

	return w.sent.Write(p)
}

func (w *recordingProxy) hasSent(text string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()

	return bytes.Contains(w.sent.Bytes(), []byte(text))
}

// Nothing from a confidential folder is sent, neither contents nor names nor hashes, even if the
// process is killed at any time. Both WildFire's calls and the bytes on the wire prove it. Files of
// another folder are sent.
func TestConfidentialFolderSendsNothing(t *testing.T) {
	t.Parallel()
	s := testkit.NewSite(t)
	text, err := os.ReadFile(s.Path("backburn.toml"))
	if err != nil {
		t.Fatal(err)
	}

	url := between(string(text), `"wildfire.url" = "`, `"`)
	if url == "" {
		url = between(string(text), `wildfire.url = "`, `"`)
	}

	w := newRecordingProxy(t, strings.TrimPrefix(url, "http://"))
	s.Configure(testkit.Settings{"wildfire.url": "http://" + w.listener.Addr().String()})
	text, err = os.ReadFile(s.Path("backburn.toml"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(s.Path("legal"), 0o700); err != nil {
		t.Fatal(err)
	}

	s.WriteFile("backburn.toml", string(text)+
		"[[watch]]\npath = \"legal\"\nsettle = \"200ms\"\nscan = \"1s\"\nmin_free = \"0\"\n"+
		"[[policy]]\nsource = \"legal\"\nsubmit = \"never\"\n")

	const perLife = 20
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	secrets := map[string]bool{}
	public := 0
	p := s.Start("backburn", "run")
	for life := range 5 {
		for i := range perLife {
			secret := fmt.Sprintf("secret-%d-%d-%016x", life, i, rnd.Uint64())
			secrets[secret] = true
			s.WriteFile("legal/"+secret+".docx", "MZ "+secret)
			s.WriteFile(fmt.Sprintf("quarantine/public-%d-%d.exe", life, i), fmt.Sprintf("MZ public %d %d", life, i))
			public++
		}

		calls := s.WildFire.Count(wildfire.OpSubmitFile) + 1 + rnd.IntN(perLife)
		s.Called(func() bool {
			return s.WildFire.Count(wildfire.OpSubmitFile) >= calls || s.WildFire.Count(wildfire.OpSubmitFile) >= public
		})
		p.Kill()
		p = s.Start("backburn", "run")
	}

	finals := testkit.Finals(t, s.Queue(p), public+len(secrets))
	withheld := 0
	for _, ev := range finals {
		switch {
		case ev.Data.Source == "legal" && ev.Type == results.Failed && ev.Data.Error.Reason == results.Withheld:
			withheld++
		case ev.Data.Source == "legal" || ev.Type != results.Verdict:
			t.Errorf("%s of %s ends as %s", ev.Data.Path, ev.Data.Source, ev.Outcome())
		}
	}

	if withheld != len(secrets) {
		t.Errorf("%d of %d files were withheld", withheld, len(secrets))
	}

	p.Stop()

	if !w.hasSent("MZ public 0 0") || s.WildFire.Count(wildfire.OpSubmitFile) < public {
		t.Fatal("the wire does not record what is sent")
	}

	for secret := range secrets {
		sum := sha256.Sum256([]byte("MZ " + secret))
		hash := hex.EncodeToString(sum[:])
		if w.hasSent(secret) || w.hasSent(hash) || w.hasSent(strings.ToUpper(hash)) || s.WildFire.UploadCount(hash) > 0 {
			t.Errorf("%s left", secret)
		}
	}
}

func between(s, before, after string) string {
	_, rest, ok := strings.Cut(s, before)
	if !ok {
		return ""
	}
	found, _, _ := strings.Cut(rest, after)

	return found
}
