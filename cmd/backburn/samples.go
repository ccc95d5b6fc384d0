package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"runtime"
)

// demoMaxFileSize is the largest file that the demo uploads.
const demoMaxFileSize = 8_000_000

// sampleFile is a file of the demo: its name and contents.
type sampleFile struct {
	name   string // relative to the quarantine folder, with slashes
	body   []byte
	sparse int64 // size in bytes of a file without contents; 0: the file has body
}

func (s sampleFile) write(path string) error {
	if s.sparse == 0 {
		return os.WriteFile(path, s.body, 0o600)
	}

	f, err := os.Create(path)
	if err != nil {
		return err
	}

	return errors.Join(f.Truncate(s.sparse), f.Close())
}

// sampleFiles makes harmless files of many kinds. Markers in them decide the simulated verdicts.
func sampleFiles() ([]sampleFile, error) {
	archive, err := zipOf("readme.txt", "A harmless archive.")
	if err != nil {
		return nil, err
	}

	docx, err := zipOf("word/document.xml", `<?xml version="1.0"?><w:document xmlns:w="urn:demo"/>`)
	if err != nil {
		return nil, err
	}

	tgz, err := tarOf("payload.sh", "#!/bin/sh\necho hello\n")
	if err != nil {
		return nil, err
	}

	program := executable()
	dropper := append(peFile(), "wildfire-test:malware"...)
	invoice := []byte("%PDF-1.7\n% an invoice like any other\n%%EOF\n")

	return []sampleFile{
		{name: "documents/invoice.pdf", body: invoice},
		{name: "documents/invoice (copy).pdf", body: invoice},
		{name: "documents/Rechnung_Müller.pdf", body: invoice},
		{name: "documents/letter.docx", body: docx},
		{name: "documents/offer.rtf", body: []byte(`{\rtf1\ansi An offer that can be refused.}`)},
		{name: "documents/macro-malware.xls", body: append([]byte("\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"), make([]byte, 4096)...)},
		{name: "mail/login-page.html", body: []byte("<html><!-- wildfire-test:phishing --><form action=/collect></form></html>\n")},
		{name: "mail/update.js", body: []byte("// wildfire-test:c2\nvar beacon = 1;\n")},
		{name: "scripts/cleanup.ps1", body: []byte("Remove-Item $env:TEMP\\old -Recurse\n")},
		{name: "scripts/backup.sh", body: []byte("#!/bin/sh\ntar cf backup.tar .\n")},
		{name: "archives/photos.zip", body: archive},
		{name: "archives/toolbar-grayware.tgz", body: tgz},
		{name: "programs/" + program.name, body: program.body},
		{name: "programs/setup.exe", body: dropper},
		{name: "programs/setup (1).exe", body: dropper},
		{name: "programs/eicar-style.com", body: []byte("A stand-in for the EICAR test file: its name is the marker.\n")},
		{name: "odd/notes.unsupported", body: []byte("WildFire does not take this type.\n")},
		{name: "odd/empty.dat", body: nil},
		{name: "odd/disk-image.bin", sparse: demoMaxFileSize + 1},
	}, nil
}

func zipOf(name, text string) ([]byte, error) {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	w, err := z.Create(name)
	if err == nil {
		_, err = w.Write([]byte(text))
	}

	err = errors.Join(err, z.Close())

	return b.Bytes(), err
}

func tarOf(name, text string) ([]byte, error) {
	var b bytes.Buffer
	g := gzip.NewWriter(&b)
	t := tar.NewWriter(g)
	err := t.WriteHeader(&tar.Header{Name: name, Mode: 0o755, Size: int64(len(text))})
	if err == nil {
		_, err = t.Write([]byte(text))
	}

	err = errors.Join(err, t.Close(), g.Close())

	return b.Bytes(), err
}

// executable returns a program of this machine, or a generated one if none has a suitable size.
func executable() sampleFile {
	name, candidates := "true", []string{"/bin/true", "/usr/bin/true", "/bin/echo"}
	if runtime.GOOS == "windows" {
		name, candidates = "true.exe", []string{os.Getenv("SystemRoot") + `\System32\where.exe`}
	}

	for _, path := range candidates {
		if b, err := os.ReadFile(path); err == nil && len(b) > 0 && len(b) < demoMaxFileSize { //nolint:gosec // a program of this system
			return sampleFile{name: name, body: b}
		}
	}

	return sampleFile{name: "tiny.elf", body: elfFile()}
}

// peFile returns the header of a Windows program without any code.
func peFile() []byte {
	b := make([]byte, 512)
	copy(b, "MZ")
	binary.LittleEndian.PutUint32(b[0x3c:], 0x80)
	copy(b[0x80:], "PE\x00\x00\x64\x86")

	return b
}

// elfFile returns the header of a Linux program without any code.
func elfFile() []byte {
	h := elf.Header64{Type: uint16(elf.ET_EXEC), Machine: uint16(elf.EM_X86_64), Version: uint32(elf.EV_CURRENT), Ehsize: 64}
	copy(h.Ident[:], fmt.Sprintf("%s\x02\x01\x01", elf.ELFMAG))
	var b bytes.Buffer
	_ = binary.Write(&b, binary.LittleEndian, h) // writes to a buffer cannot fail

	return b.Bytes()
}
