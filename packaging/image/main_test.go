package main

import (
	"archive/tar"
	"bytes"
	"crypto/x509"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// A file goes all its way in the image, whose root is read-only, as a user who is nobody.
func TestImageRuns(t *testing.T) {
	if runtime.GOOS != "linux" || os.Getuid() != 0 {
		text := "SKIPPED: the image was not run: that needs root on Linux"
		if os.Getenv("CI") == "true" {
			t.Fatal(text)
		}
		t.Skip(text)
	}
	dir := t.TempDir()
	build := exec.CommandContext(t.Context(), "go", "build", "-o", filepath.Join(dir, "backburn"), "./cmd/backburn")
	build.Dir = filepath.Join("..", "..")
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-buildvcs=false")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	archive := filepath.Join(dir, "image.tar")
	if err := run(filepath.Join(dir, "backburn"), runtime.GOARCH, "backburn:test", archive); err != nil {
		t.Fatal(err)
	}

	img, err := tarball.ImageFromPath(archive, nil)
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Config.User != "65532:65532" || cfg.Architecture != runtime.GOARCH || cfg.Config.Healthcheck == nil {
		t.Errorf("configuration: %+v", cfg)
	}
	root := filepath.Join(dir, "root")
	unpack(t, mutate.Extract(img), root)
	pool := x509.NewCertPool()
	certs, err := os.ReadFile(filepath.Join(root, "etc/ssl/certs/ca-certificates.crt"))
	if err != nil || !pool.AppendCertsFromPEM(certs) || strings.Count(string(certs), "BEGIN CERTIFICATE") < 100 {
		t.Errorf("certificate authorities: %d bytes, %v", len(certs), err)
	}

	script := `mount --bind "$1" "$1"
mount -o remount,bind,ro "$1"
mount -t tmpfs -o mode=1777 tmp "$1/tmp"
mount -t tmpfs -o uid=65532,mode=700 state "$1/var/lib/backburn"
! chroot --userspec=65532:65532 "$1" /usr/bin/backburn healthcheck
chroot --userspec=65532:65532 "$1" ` + strings.Join(cfg.Config.Entrypoint, " ") + ` demo --json --delay 100ms`
	cmd := exec.CommandContext(t.Context(), "unshare", "--mount", "sh", "-eu", "-c", script, "sh", root)
	cmd.Env = cfg.Config.Env
	cmd.Env = append(cmd.Env, "PATH="+os.Getenv("PATH"))
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("demo: %v\n%s", err, stderr.String())
	}
	if !strings.Contains(string(out), `"verdict":"malware"`) {
		t.Errorf("no verdict in:\n%s", out)
	}
}

// Equal programs give equal images.
func TestImageIsReproducible(t *testing.T) {
	t.Parallel()
	var digests []string
	for range 2 {
		img, err := build([]byte("a program"), "arm64")
		if err != nil {
			t.Fatal(err)
		}
		d, err := img.Digest()
		if err != nil {
			t.Fatal(err)
		}
		digests = append(digests, d.String())
	}
	if digests[0] != digests[1] {
		t.Errorf("two images: %q", digests)
	}
}

func unpack(t *testing.T, from io.ReadCloser, to string) {
	t.Helper()
	defer from.Close()
	for r := tar.NewReader(from); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		name := filepath.Join(to, filepath.FromSlash(h.Name))
		switch h.Typeflag {
		case tar.TypeDir:
			err = os.MkdirAll(name, 0o755)
			if err == nil {
				err = os.Chmod(name, h.FileInfo().Mode())
			}
		case tar.TypeSymlink:
			err = os.Symlink(h.Linkname, name)
		default:
			var content []byte
			if content, err = io.ReadAll(r); err == nil {
				err = os.WriteFile(name, content, h.FileInfo().Mode().Perm())
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}
