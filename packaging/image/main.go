// Command image makes a container image of a binary, without a daemon, and writes it as an archive
// that docker, podman and registries' tools load:
//
//	go run . -binary backburn -arch amd64 -tag backburn:0.2.0 -output backburn-amd64.tar
//
// The image has only the binary with a link for each daemon, its user in /etc/passwd, the
// certificate authorities of Mozilla, and an empty /tmp and /var/lib/backburn. It runs as the user
// 65532, and its root may be read-only. Equal binaries give equal images.
package main

import (
	"archive/tar"
	"bytes"
	"encoding/pem"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"golang.org/x/crypto/x509roots/fallback/bundle"
)

// user is that of distroless images, by convention: nobody's on any host.
const user = 65532

func main() {
	binary := flag.String("binary", "", "the program, for Linux and linked statically")
	arch := flag.String("arch", "amd64", "its architecture")
	tag := flag.String("tag", "backburn:latest", "the image's name")
	output := flag.String("output", "backburn.tar", "the archive to write")
	flag.Parse()
	if err := run(*binary, *arch, *tag, *output); err != nil {
		fmt.Fprintln(os.Stderr, "image:", err)
		os.Exit(3)
	}
}

func run(binary, arch, tag, output string) error {
	program, err := os.ReadFile(binary)
	if err != nil {
		return err
	}
	ref, err := name.NewTag(tag)
	if err != nil {
		return err
	}
	img, err := build(program, arch)
	if err != nil {
		return err
	}

	return tarball.WriteToFile(output, ref, img)
}

// build makes the image of a program.
func build(program []byte, arch string) (v1.Image, error) {
	files, err := root(program)
	if err != nil {
		return nil, err
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(files)), nil
	})
	if err != nil {
		return nil, err
	}
	img, err := mutate.AppendLayers(empty.Image, layer)
	if err != nil {
		return nil, err
	}

	return mutate.ConfigFile(img, config(img, arch))
}

func config(img v1.Image, arch string) *v1.ConfigFile {
	file, err := img.ConfigFile()
	if err != nil {
		file = &v1.ConfigFile{}
	}
	file.OS = "linux"
	file.Architecture = arch
	file.Config = v1.Config{
		User:         fmt.Sprintf("%d:%d", user, user),
		Entrypoint:   []string{"/usr/bin/backburn"},
		Cmd:          []string{"run"},
		WorkingDir:   "/var/lib/backburn",
		Env:          []string{"PATH=/usr/bin", "HOME=/var/lib/backburn"},
		ExposedPorts: map[string]struct{}{"9464/tcp": {}},
		Volumes:      map[string]struct{}{"/var/lib/backburn": {}},
		Healthcheck: &v1.HealthConfig{
			Test:        []string{"CMD", "/usr/bin/backburn", "healthcheck"},
			Interval:    30 * time.Second,
			Timeout:     5 * time.Second,
			StartPeriod: time.Minute,
		},
		Labels: map[string]string{
			"org.opencontainers.image.title":    "backburn",
			"org.opencontainers.image.licenses": "Apache-2.0",
		},
	}

	return file
}

// root is the file system, as a tar archive.
func root(program []byte) ([]byte, error) {
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	add := func(h tar.Header, content []byte) error {
		h.Size = int64(len(content))
		h.ModTime = time.Unix(0, 0)
		h.Format = tar.FormatPAX
		if err := w.WriteHeader(&h); err != nil {
			return err
		}
		_, err := w.Write(content)

		return err
	}

	for _, h := range []tar.Header{
		{Name: "etc/", Mode: 0o755},
		{Name: "etc/ssl/", Mode: 0o755},
		{Name: "etc/ssl/certs/", Mode: 0o755},
		{Name: "tmp/", Mode: 0o1777},
		{Name: "usr/", Mode: 0o755},
		{Name: "usr/bin/", Mode: 0o755},
		{Name: "var/", Mode: 0o755},
		{Name: "var/lib/", Mode: 0o755},
		{Name: "var/lib/backburn/", Mode: 0o700, Uid: user, Gid: user},
	} {
		h.Typeflag = tar.TypeDir
		if err := add(h, nil); err != nil {
			return nil, err
		}
	}
	for _, f := range []struct {
		name    string
		mode    int64
		content []byte
	}{
		{"etc/passwd", 0o644, fmt.Appendf(nil, "backburn:x:%d:%d::/var/lib/backburn:/\n", user, user)},
		{"etc/ssl/certs/ca-certificates.crt", 0o644, authorities()},
		{"usr/bin/backburn", 0o755, program},
	} {
		if err := add(tar.Header{Typeflag: tar.TypeReg, Name: f.name, Mode: f.mode}, f.content); err != nil {
			return nil, err
		}
	}
	for _, name := range []string{"usr/bin/backburn-watcher", "usr/bin/backburn-worker"} {
		if err := add(tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: "backburn", Mode: 0o777}, nil); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}

	return buf.Bytes(), nil
}

// authorities are Mozilla's, without those that it trusts with conditions.
func authorities() []byte {
	var buf bytes.Buffer
	for r := range bundle.Roots() {
		if r.Constraint == nil {
			_ = pem.Encode(&buf, &pem.Block{Type: "CERTIFICATE", Bytes: r.Certificate}) // a buffer takes everything
		}
	}

	return buf.Bytes()
}
