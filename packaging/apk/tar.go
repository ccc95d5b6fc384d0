package main

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// split returns the gzip streams that a package consists of, compressed and uncompressed.
func split(raw []byte) (compressed, plain [][]byte, err error) {
	for rest := raw; len(rest) > 0; {
		from := bytes.NewReader(rest)
		z, err := gzip.NewReader(from)
		if err != nil {
			return nil, nil, fmt.Errorf("stream %d: %w", len(plain)+1, err)
		}
		z.Multistream(false)
		content, err := io.ReadAll(z)
		if err != nil {
			return nil, nil, fmt.Errorf("stream %d: %w", len(plain)+1, err)
		}

		used := len(rest) - from.Len()
		compressed = append(compressed, rest[:used])
		plain = append(plain, content)
		rest = rest[used:]
	}

	return compressed, plain, nil
}

// entry is a file, folder or link of an archive.
type entry struct {
	name    string
	kind    byte // the type flag of tar
	mode    int64
	uid     int64
	gid     int64
	owner   string
	group   string
	link    string
	content []byte
	pax     map[string]string
}

const block = 512

// header is one field of a tar header (POSIX ustar): where it begins and ends.
type header struct{ from, to int }

var (
	nameField   = header{0, 100}
	modeField   = header{100, 108}
	uidField    = header{108, 116}
	gidField    = header{116, 124}
	sizeField   = header{124, 136}
	mtimeField  = header{136, 148}
	linkField   = header{157, 257}
	magicField  = header{257, 262}
	ownerField  = header{265, 297}
	groupField  = header{297, 329}
	majorField  = header{329, 337}
	minorField  = header{337, 345}
	prefixField = header{345, 500}
)

const kindOffset = 156

func (h header) text(b []byte) string {
	text, _, _ := bytes.Cut(b[h.from:h.to], []byte{0})

	return string(text)
}

// number reads octal digits. apk refuses everything else, such as GNU tar's binary numbers.
func (h header) number(b []byte) (int64, error) {
	digits := strings.Trim(string(b[h.from:h.to]), " \x00")
	if digits == "" {
		return 0, nil
	}

	n, err := strconv.ParseInt(digits, 8, 64)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("%q at offset %d is not an octal number", digits, h.from)
	}

	return n, nil
}

// readTar reads an archive, or a part of one without its end. It refuses what apk refuses, and Go's
// own reader does not.
func readTar(archive []byte) (entries []entry, ended bool, err error) {
	if len(archive)%block != 0 {
		return nil, false, fmt.Errorf("%d bytes are not a number of blocks", len(archive))
	}

	var pax map[string]string
	for at := 0; at < len(archive); {
		head := archive[at : at+block]
		at += block
		if head[0] == 0 {
			if len(bytes.Trim(archive[at:], "\x00")) != 0 {
				return nil, false, errors.New("more follows the end of the archive")
			}

			return entries, true, nil
		}

		e, size, err := readHeader(head)
		if err != nil {
			return nil, false, err
		}
		padded := (size + block - 1) / block * block
		if padded > int64(len(archive)-at) {
			return nil, false, fmt.Errorf("%s: ends early", e.name)
		}
		e.content = archive[at : at+int(size)]
		at += int(padded)

		if e.kind == 'x' {
			if pax, err = readPAX(e.content); err != nil {
				return nil, false, fmt.Errorf("%s: %w", e.name, err)
			}
			continue
		}
		if path, ok := pax["path"]; ok {
			e.name = path
		}
		if path, ok := pax["linkpath"]; ok {
			e.link = path
		}
		e.pax = pax
		pax = nil
		entries = append(entries, e)
	}

	return entries, false, nil
}

func readHeader(head []byte) (entry, int64, error) {
	e := entry{
		name:  nameField.text(head),
		kind:  head[kindOffset],
		owner: ownerField.text(head),
		group: groupField.text(head),
		link:  linkField.text(head),
	}
	if prefix := prefixField.text(head); prefix != "" && e.kind != 'x' {
		e.name = prefix + "/" + e.name
	}
	if magic := string(head[magicField.from:magicField.to]); magic != "ustar" {
		return e, 0, fmt.Errorf("%s: the header is not ustar's: %q", e.name, magic)
	}

	var size, unused int64
	for _, number := range []struct {
		field header
		to    *int64
	}{
		{modeField, &e.mode},
		{uidField, &e.uid},
		{gidField, &e.gid},
		{sizeField, &size},
		{mtimeField, &unused},
		{majorField, &unused},
		{minorField, &unused},
	} {
		n, err := number.field.number(head)
		if err != nil {
			return e, 0, fmt.Errorf("%s: %w", e.name, err)
		}
		*number.to = n
	}

	return e, size, nil
}

// readPAX reads records of an extended header: "LENGTH KEY=VALUE\n".
func readPAX(content []byte) (map[string]string, error) {
	records := map[string]string{}
	for rest := string(content); rest != ""; {
		digits, _, ok := strings.Cut(rest, " ")
		length, err := strconv.Atoi(digits)
		if !ok || err != nil || length <= len(digits)+1 || length > len(rest) || rest[length-1] != '\n' {
			return nil, fmt.Errorf("not an extended header: %q", rest)
		}
		key, value, ok := strings.Cut(rest[len(digits)+1:length-1], "=")
		if !ok {
			return nil, fmt.Errorf("not an extended header: %q", rest)
		}
		records[key] = value
		rest = rest[length:]
	}

	return records, nil
}
