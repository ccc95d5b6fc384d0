package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// stream packs entries into a gzip stream, as a part of an archive or as its end.
func stream(t *testing.T, end bool, headers []tar.Header, contents map[string]string) []byte {
	t.Helper()
	var archive, packed bytes.Buffer
	w := tar.NewWriter(&archive)
	for _, h := range headers {
		content := contents[h.Name]
		h.Size = int64(len(content))
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(content)); err != nil {
			t.Fatal(err)
		}
	}
	finish := w.Flush
	if end {
		finish = w.Close
	}
	if err := finish(); err != nil {
		t.Fatal(err)
	}

	z := gzip.NewWriter(&packed)
	if _, err := z.Write(archive.Bytes()); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}

	return packed.Bytes()
}

func withSum(h tar.Header, content string) tar.Header {
	sum := sha1.Sum([]byte(content))
	h.PAXRecords = map[string]string{checksum: hex.EncodeToString(sum[:])}

	return h
}

// recipe is a package that a case changes before it is made.
type recipe struct {
	version  string
	desc     string
	datahash string // instead of the right one
	script   tar.Header
	shebang  string
	files    []tar.Header
	cut      bool // data without the end, metadata with one
	streams  func([][]byte) [][]byte
}

const program = "a program"

func sound() recipe {
	return recipe{
		version: "0.2.1_pre1795851970",
		desc:    "Judges files",
		script:  tar.Header{Name: ".post-install", Mode: 0o755, Typeflag: tar.TypeReg},
		shebang: "#!/bin/sh\n",
		files: []tar.Header{
			{Name: "usr/", Mode: 0o755, Typeflag: tar.TypeDir},
			withSum(tar.Header{Name: "usr/tool", Mode: 0o755, Typeflag: tar.TypeReg, Uname: "root"}, program),
			{Name: "usr/link", Linkname: "tool", Typeflag: tar.TypeSymlink},
		},
	}
}

// rightly is what a sound package has to be.
func rightly() expected {
	return expected{
		name:    "tool",
		version: sound().version,
		arch:    "x86_64",
		depends: []string{"base"},
		scripts: []string{"post-install"},
	}
}

func (r recipe) make(t *testing.T) []byte {
	t.Helper()
	contents := map[string]string{"usr/tool": program}
	data := stream(t, !r.cut, r.files, contents)
	sum := sha256.Sum256(data)
	datahash := hex.EncodeToString(sum[:])
	if r.datahash != "" {
		datahash = r.datahash
	}
	info := fmt.Sprintf("pkgname = tool\npkgver = %s\narch = x86_64\nsize = %d\npkgdesc = %s\nurl = https://tool.invalid\n"+
		"maintainer = Nobody <nobody@tool.invalid>\ndepend = base\nlicense = MIT\ndatahash = %s\n", r.version, len(program), r.desc, datahash)
	control := stream(t, r.cut, []tar.Header{{Name: infoName, Mode: 0o600, Typeflag: tar.TypeReg}, r.script},
		map[string]string{infoName: info, r.script.Name: r.shebang + "true\n"})
	signature := stream(t, false, []tar.Header{{Name: ".SIGN.RSA.key.rsa.pub", Typeflag: tar.TypeReg}}, nil)

	streams := [][]byte{signature, control, data}
	if r.streams != nil {
		streams = r.streams(streams)
	}

	return bytes.Join(streams, nil)
}

// A sound package passes. Each fault that apk refuses, or that an administrator would notice, does
// not.
func TestCheck(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		change func(*recipe)
		says   string
	}{
		"sound":                {func(*recipe) {}, ""},
		"without a signature":  {func(r *recipe) { r.streams = func(s [][]byte) [][]byte { return s[1:] } }, ""},
		"one stream":           {func(r *recipe) { r.streams = func(s [][]byte) [][]byte { return s[2:] } }, "has 1 gzip streams"},
		"not gzip":             {func(r *recipe) { r.streams = func([][]byte) [][]byte { return [][]byte{[]byte("hello")} } }, "stream 1"},
		"a word as version":    {func(r *recipe) { r.version = "0.2.1_snapshot.17.gabc" }, "accepts no version"},
		"a commit as version":  {func(r *recipe) { r.version = "0.2.1_pre1.gabc" }, "accepts no version"},
		"two lines":            {func(r *recipe) { r.desc = "Judges\n  files" }, "apk ignores the line"},
		"other data":           {func(r *recipe) { r.datahash = strings.Repeat("0", 64) }, "datahash"},
		"other file":           {func(r *recipe) { r.files[1] = withSum(r.files[1], "other") }, "SHA-1"},
		"no checksum":          {func(r *recipe) { r.files[1].PAXRecords = nil }, "has no checksum"},
		"GNU's numbers":        {func(r *recipe) { r.files[0].Mode = 1<<31 | 0o755; r.files[0].Format = tar.FormatGNU }, "not an octal number"},
		"GNU's header":         {func(r *recipe) { r.files[0].Format = tar.FormatGNU }, ""},
		"no folder":            {func(r *recipe) { r.files = r.files[1:] }, "its folder is missing"},
		"twice":                {func(r *recipe) { r.files = append(r.files, r.files[0]) }, "twice"},
		"outside":              {func(r *recipe) { r.files[2].Name = "usr/../../link" }, "not a path below the root"},
		"hidden":               {func(r *recipe) { r.files[2].Name = ".link" }, "not a path below the root"},
		"a user of its own":    {func(r *recipe) { r.files[1].Uname = "tool" }, "unknown before the installation"},
		"a number as a user":   {func(r *recipe) { r.files[1].Uid = 1000 }, "belongs to 1000:0"},
		"a device":             {func(r *recipe) { r.files[2].Typeflag = tar.TypeChar }, "kind '3'"},
		"a link below /etc":    {func(r *recipe) { r.files[2] = withSum(r.files[2], ""); r.files[2].Name = "etc/link" }, "checksum of the link"},
		"not executable":       {func(r *recipe) { r.script.Mode = 0o644 }, "not executable"},
		"another shell":        {func(r *recipe) { r.shebang = "#!/bin/bash\n" }, "no other shell"},
		"a script of no event": {func(r *recipe) { r.script.Name = ".postinst" }, "runs no script of that name"},
		"ends too early":       {func(r *recipe) { r.cut = true }, "ends before the files"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := sound()
			tc.change(&r)
			want := rightly()
			want.version = r.version
			p, err := open(r.make(t))
			if err == nil {
				err = p.check(want)
			}
			switch {
			case tc.says == "" && err != nil:
				t.Error(err)
			case tc.says != "" && (err == nil || !strings.Contains(err.Error(), tc.says)):
				t.Errorf("%v, want %q", err, tc.says)
			}
		})
	}
}

// What the package says of itself has to be what is expected.
func TestExpectations(t *testing.T) {
	t.Parallel()
	for field, change := range map[string]func(*expected){
		"pkgname": func(e *expected) { e.name = "other" },
		"pkgver":  func(e *expected) { e.version = "1" },
		"arch":    func(e *expected) { e.arch = "aarch64" },
		"depend":  func(e *expected) { e.depends = nil },
		"scripts": func(e *expected) { e.scripts = append(e.scripts, "post-upgrade") },
	} {
		p, err := open(sound().make(t))
		if err != nil {
			t.Fatal(err)
		}
		want := rightly()
		change(&want)
		if err := p.check(want); err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: %v", field, err)
		}
	}
}

// The command takes a package apart.
func TestRun(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "tool.apk")
	if err := os.WriteFile(file, sound().make(t), 0o600); err != nil {
		t.Fatal(err)
	}

	var stdout strings.Builder
	into := filepath.Join(dir, "parts")
	err := run([]string{
		"-name", "tool", "-version", sound().version, "-arch", "x86_64", "-depends", "base", "-scripts", "post-install", "-into", into, file,
	}, &stdout)
	if err != nil || stdout.String() != "tool.apk: 3 entries, 9 bytes\n" {
		t.Fatalf("%q, %v", stdout.String(), err)
	}
	entries, err := os.ReadFile(filepath.Join(into, "entries"))
	if err != nil || string(entries) != "usr/\nusr/tool\nusr/link\n" {
		t.Errorf("entries: %q, %v", entries, err)
	}
	script, err := os.ReadFile(filepath.Join(into, "post-install"))
	if err != nil || string(script) != "#!/bin/sh\ntrue\n" {
		t.Errorf("script: %q, %v", script, err)
	}

	for _, args := range [][]string{{}, {"-wrong", file}, {file + ".not"}, {"-name", "other", file}} {
		if err := run(args, &stdout); err == nil {
			t.Errorf("%q: no error", args)
		}
	}
}
