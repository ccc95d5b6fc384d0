package apart_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"backburn/internal/apart"
	"backburn/internal/testkit/needs"
)

// inNamespace is set in the child process that may mount, which is the test itself.
const inNamespace = "BACKBURN_TEST_MOUNTS"

// mounted is printed by that process once it may mount.
const mounted = "may mount here"

func TestRelationThroughMounts(t *testing.T) {
	t.Parallel()
	if os.Getenv(inNamespace) != "" {
		throughMounts(t)
		return
	}

	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestRelationThroughMounts$", "-test.v")
	cmd.Env = append(os.Environ(), inNamespace+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
	if os.Geteuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Geteuid(), Size: 1}}
	}

	out, err := cmd.CombinedOutput()
	switch {
	case !bytes.Contains(out, []byte(mounted)):
		needs.CannotRun(t, "it may not mount here: %v\n%s", err, out)
	case err != nil:
		t.Errorf("%v\n%s", err, out)
	}
}

func throughMounts(t *testing.T) {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		t.Fatal(err)
	}

	t.Log(mounted)
	root := t.TempDir()
	at := func(name string) string { return filepath.Join(root, name) }
	for _, dir := range []string{"q/below", "q/plain", "data/a b/secrets", "all", "secrets", "tmp"} {
		if err := os.MkdirAll(at(dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}

	for _, file := range []string{"data/a b/secrets/key", "q/mounted", "data/one"} {
		if err := os.WriteFile(at(file), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}

	bind := func(from, to string) {
		if err := unix.Mount(at(from), at(to), "", unix.MS_BIND, ""); err != nil {
			t.Fatal(err)
		}

		t.Cleanup(func() { _ = unix.Unmount(at(to), unix.MNT_DETACH) })
	}
	bind("data/a b", "q/below")         // a mount in the watched folder
	bind("data/one", "q/mounted")       // of a single file
	bind("q/plain", "secrets")          // a part of the watched folder elsewhere
	bind("q", "all")                    // the watched folder itself elsewhere
	bind("tmp", "tmp")                  // a mount over itself
	bind("data/a b/secrets", "q/plain") // hides what "secrets" shows

	for name, tc := range map[string]struct {
		folder, other string
		want          apart.Relation
	}{
		"mounted below the folder":  {"q", "data/a b/secrets/key", apart.Contains},
		"file mounted below":        {"q", "data/one", apart.Contains},
		"the folder elsewhere":      {"q", "all", apart.Same},
		"to come in it elsewhere":   {"q", "all/new/grant", apart.Contains},
		"a part of it elsewhere":    {"q", "secrets/new", apart.Contains},
		"the other way around":      {"secrets", "q", apart.Inside},
		"beside the mounts":         {"q", "data/other", apart.Apart},
		"mounted over itself":       {"tmp", "tmp/a", apart.Contains},
		"same file system, no more": {"tmp", "data", apart.Apart},
	} {
		if got := apart.Now().Relation(at(tc.folder), at(tc.other)); got != tc.want {
			t.Errorf("%s: relation of %s to %s is %d, want %d", name, tc.folder, tc.other, got, tc.want)
		}
	}
}
