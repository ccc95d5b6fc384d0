package main

import (
	"bytes"
	"crypto/sha1" //nolint:gosec // the format has it
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// apk is a package of format 2: gzip streams one after the other, of which each is a part of one
// tar archive. The first stream is the signature and may be missing. The second has the metadata
// (.PKGINFO) and the scripts, and the third has the files.
type apk struct {
	control []entry
	data    []entry
	dataTar []byte
	dataSum string // SHA-256 of the third stream, compressed
	info    map[string][]string
	ended   bool // the metadata ends the archive
	faults  []error
}

// expected is what a package has to be.
type expected struct {
	name    string
	version string
	arch    string
	depends []string // sorted
	scripts []string // sorted, without the dot
}

const (
	infoName   = ".PKGINFO"
	signPrefix = ".SIGN."
	checksum   = "APK-TOOLS.checksum.SHA1"
)

// scriptNames are the scripts that apk runs. It ignores others.
var scriptNames = []string{".pre-install", ".post-install", ".pre-upgrade", ".post-upgrade", ".pre-deinstall", ".post-deinstall", ".trigger"}

// open reads a package. An error means that apk could not read it either.
func open(raw []byte) (*apk, error) {
	compressed, plain, err := split(raw)
	if err != nil {
		return nil, err
	}
	if len(plain) != 2 && len(plain) != 3 {
		return nil, fmt.Errorf("has %d gzip streams, want 2 or 3", len(plain))
	}
	if len(plain) == 3 {
		signatures, ended, err := readTar(plain[0])
		if err != nil {
			return nil, fmt.Errorf("signature: %w", err)
		}
		if ended || len(signatures) == 0 {
			return nil, errors.New("signature: none, or the archive ends behind it")
		}
		for _, e := range signatures {
			if !strings.HasPrefix(e.name, signPrefix) {
				return nil, fmt.Errorf("signature: %s is none", e.name)
			}
		}
	}

	p := &apk{dataTar: plain[len(plain)-1]}
	if p.control, p.ended, err = readTar(plain[len(plain)-2]); err != nil {
		return nil, fmt.Errorf("control: %w", err)
	}
	if p.data, _, err = readTar(p.dataTar); err != nil {
		return nil, fmt.Errorf("data: %w", err)
	}

	sum := sha256.Sum256(compressed[len(compressed)-1])
	p.dataSum = hex.EncodeToString(sum[:])

	return p, nil
}

// size is what apk shows as the installed size: the bytes of the files.
func (p *apk) size() int {
	n := 0
	for _, e := range p.data {
		if e.kind == '0' {
			n += len(e.content)
		}
	}

	return n
}

func (p *apk) fault(format string, args ...any) {
	p.faults = append(p.faults, fmt.Errorf(format, args...))
}

// check returns all faults of the package.
func (p *apk) check(want expected) error {
	p.faults = nil
	if p.ended {
		p.fault("control: the archive ends before the files")
	}
	p.checkControl(want.scripts)
	p.checkInfo(want)
	for _, e := range p.data {
		p.checkFile(e)
	}
	p.checkParents()

	return errors.Join(p.faults...)
}

func (p *apk) checkControl(want []string) {
	var got []string
	for _, e := range p.control {
		p.checkSum(e)
		switch {
		case e.name == infoName:
			p.readInfo(e.content)
		case slices.Contains(scriptNames, e.name):
			got = append(got, strings.TrimPrefix(e.name, "."))
			if e.mode&0o111 != 0o111 {
				p.fault("%s: mode %o is not executable", e.name, e.mode)
			}
			if !bytes.HasPrefix(e.content, []byte("#!/bin/sh\n")) {
				p.fault("%s: the first line is not #!/bin/sh: Alpine has no other shell", e.name)
			}
		default:
			p.fault("%s: apk runs no script of that name", e.name)
		}
	}

	slices.Sort(got)
	if !slices.Equal(got, want) {
		p.fault("scripts: %q, want %q", got, want)
	}
	if p.info == nil {
		p.fault("%s: missing", infoName)
	}
}

// infoKeys are the keys that packages of GoReleaser have.
var infoKeys = []string{"pkgname", "pkgver", "arch", "size", "pkgdesc", "url", "maintainer", "depend", "license", "datahash"}

// readInfo reads .PKGINFO. apk ignores lines that are no "key = value", so text in them is lost.
func (p *apk) readInfo(content []byte) {
	p.info = map[string][]string{}
	if !bytes.HasSuffix(content, []byte("\n")) {
		p.fault("%s: the last line has no end", infoName)
	}
	for line := range strings.Lines(string(content)) {
		line = strings.TrimSuffix(line, "\n")
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}

		key, value, ok := strings.Cut(line, " = ")
		switch {
		case !ok:
			p.fault("%s: apk ignores the line %q", infoName, line)
		case !slices.Contains(infoKeys, key):
			p.fault("%s: unknown key %q", infoName, key)
		case value == "" || value != strings.TrimSpace(value):
			p.fault("%s: %s: value %q", infoName, key, value)
		default:
			p.info[key] = append(p.info[key], value)
		}
	}
}

// validVersion is what apk accepts as a version: numbers, a letter, suffixes, a revision. Version 2
// of apk-tools knows no commit ("~hash"), so it is not among them.
var validVersion = regexp.MustCompile(`^\d+(\.\d+)*[a-z]?(_(alpha|beta|pre|rc|cvs|svn|git|hg|p)\d*)*(-r\d+)?$`)

func (p *apk) checkInfo(want expected) {
	for key, value := range map[string]string{
		"pkgname":  want.name,
		"pkgver":   want.version,
		"arch":     want.arch,
		"size":     strconv.Itoa(p.size()),
		"datahash": p.dataSum,
	} {
		if got := p.info[key]; !slices.Equal(got, []string{value}) {
			p.fault("%s: %s = %q, want %q", infoName, key, got, value)
		}
	}
	for _, key := range []string{"pkgdesc", "url", "license", "maintainer"} {
		if len(p.info[key]) != 1 {
			p.fault("%s: %s = %q, want one value", infoName, key, p.info[key])
		}
	}
	for _, version := range p.info["pkgver"] {
		if !validVersion.MatchString(version) {
			p.fault("%s: apk accepts no version %q", infoName, version)
		}
	}
	if got := slices.Sorted(slices.Values(p.info["depend"])); !slices.Equal(got, want.depends) {
		p.fault("%s: depend = %q, want %q", infoName, got, want.depends)
	}
}

func (p *apk) checkFile(e entry) {
	name := strings.TrimSuffix(e.name, "/")
	if name == "" || strings.HasPrefix(name, ".") || path.IsAbs(name) || path.Clean(name) != name {
		p.fault("%s: is not a path below the root that apk unpacks", e.name)
	}

	// apk looks up the names of owners before the first script runs, so only root is known. Without
	// a name the number counts.
	for id, owner := range map[string]string{"user": e.owner, "group": e.group} {
		if owner != "root" && owner != "" {
			p.fault("%s: %s %q is unknown before the installation", e.name, id, owner)
		}
	}
	if e.uid != 0 || e.gid != 0 {
		p.fault("%s: belongs to %d:%d", e.name, e.uid, e.gid)
	}

	switch e.kind {
	case '0':
		if e.pax[checksum] == "" {
			p.fault("%s: has no checksum", e.name)
		}
		p.checkSum(e)
	case '2':
		p.checkLink(e)
	case '5':
	default:
		p.fault("%s: kind %q", e.name, e.kind)
	}
}

// checkLink checks a link. apk compares the target of a link below /etc with the checksum of the
// package. nfpm writes the checksum of an empty file, so apk takes the link for a changed one and
// puts a second one beside it. Elsewhere it replaces links without a look.
func (p *apk) checkLink(e entry) {
	sum := sha1.Sum([]byte(e.link)) //nolint:gosec // the format has it
	switch {
	case e.link == "":
		p.fault("%s: links to nothing", e.name)
	case strings.HasPrefix(e.name, "etc/") && e.pax[checksum] != hex.EncodeToString(sum[:]):
		p.fault("%s: the checksum of the link is not that of its target", e.name)
	}
}

// checkSum compares a file with its checksum, if it has one.
func (p *apk) checkSum(e entry) {
	want, ok := e.pax[checksum]
	if !ok {
		return
	}

	sum := sha1.Sum(e.content) //nolint:gosec // the format has it
	if got := hex.EncodeToString(sum[:]); got != want {
		p.fault("%s: SHA-1 %s, want %s", e.name, got, want)
	}
}

// checkParents checks that each name stands once, and behind its folder.
func (p *apk) checkParents() {
	folders := map[string]bool{".": true}
	seen := map[string]bool{}
	for _, e := range p.data {
		name := path.Clean(e.name)
		if seen[name] {
			p.fault("%s: stands there twice", e.name)
		}
		seen[name] = true
		if !folders[path.Dir(name)] {
			p.fault("%s: its folder is missing", e.name)
		}
		if e.kind == '5' {
			folders[name] = true
		}
	}
}
