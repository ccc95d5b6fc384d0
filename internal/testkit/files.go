package testkit

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"unicode/utf8"
)

// File is a file to drop, with its verdict by the simulated WildFire.
type File struct {
	Name    string // below the quarantine
	Body    []byte
	Verdict string
}

// SHA256 is that of the contents, in lower-case hexadecimal.
func (f File) SHA256() string {
	sum := sha256.Sum256(f.Body)
	return hex.EncodeToString(sum[:])
}

// odd are names that cause faults in programs.
var odd = []string{
	"Rechnung für Müller.pdf", "請求書 2026.docx", "🔥🔥.bin", "-rf.txt", "--help", "two\nlines.exe", " leading and trailing ", "tab\there.js",
	"not utf-8 \xff\xfe.dat", "quote\"back\\slash'.bin", "%s%n%00.bin", "semi;colon&amp <b>.html", "$(reboot).sh", "*.bin", "...",
	".hidden", "half.part", "CON", "NUL.txt", strings.Repeat("n", 246) + ".bin", strings.Repeat("é", 125), "sub/folder/deep.exe", "sub/-.txt",
}

// oddNames returns the odd names that the system allows.
func oddNames() []string {
	if runtime.GOOS == "linux" {
		return odd
	}
	return slices.DeleteFunc(slices.Clone(odd), func(name string) bool { return !utf8.ValidString(name) })
}

// Mixed makes n files, with odd names among them, of sizes between a byte and a few MiB. Five
// have the same contents. Every seventh is malware.
func Mixed(n int, rnd *rand.Rand) []File {
	files, names := make([]File, n), oddNames()
	for i := range files {
		f := File{Name: fmt.Sprintf("file-%03d.bin", i), Verdict: "benign"}
		if i < len(names) {
			f.Name = names[i]
		}

		size := 1 + rnd.IntN(4000)
		switch {
		case i%40 == 7:
			size = 1<<20 + rnd.IntN(2<<20)
		case i%10 == 4:
			size = 16 + rnd.IntN(300_000)
		}

		head := fmt.Sprintf("%d/%d ", i, rnd.Uint64())
		if i%7 == 3 {
			head, f.Verdict = head+"wildfire-test:malware ", "malware"
		}

		f.Body = append([]byte(head), make([]byte, size)...)
		for j := len(head); j < len(f.Body); j += 97 {
			f.Body[j] = byte(rnd.Uint32())
		}

		files[i] = f
	}

	if n >= 60 {
		files[30].Body, files[30].Verdict = []byte{'1'}, "benign"
		for _, i := range []int{51, 52, 53, 54} {
			files[i].Body, files[i].Verdict = files[50].Body, files[50].Verdict
		}
	}

	return files
}

// Many makes n files, small except for the first few hundred. Every fifth small file has the same
// contents as another one.
func Many(n int, rnd *rand.Rand) []File {
	files := Mixed(min(n, 300), rnd)
	for i := len(files); i < n; i++ {
		f := File{Name: fmt.Sprintf("many/%05d.bin", i), Verdict: "benign", Body: fmt.Appendf(nil, "%d/%d", i, rnd.Uint64())}
		if i%5 == 0 {
			twin := files[rnd.IntN(len(files))]
			f.Body, f.Verdict = twin.Body, twin.Verdict
		}

		files = append(files, f)
	}

	return files
}

// dropByRename first writes a file in another folder on the same file system, under a unique name,
// and then renames it.
func dropByRename(dir, name string, body []byte) error {
	tmp, err := os.MkdirTemp(dir, "upload-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)

	written := filepath.Join(tmp, "file")
	if err := os.WriteFile(written, body, 0o644); err != nil {
		return err
	}

	return os.Rename(written, name)
}

// Drop writes a file into the quarantine, every second one by a temporary name and a rename. It is
// safe for concurrent use.
func (s *Site) Drop(files ...File) {
	for i, f := range files {
		name := filepath.Join(s.folder, f.Name)
		err := os.MkdirAll(filepath.Dir(name), 0o755)
		if err == nil && i%2 == 0 {
			err = os.WriteFile(name, f.Body, 0o644)
		} else if err == nil {
			err = dropByRename(filepath.Dir(s.folder), name, f.Body)
		}

		if err != nil {
			s.t.Errorf("drop: %v", err)
			return
		}
	}
}
