package cortex

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"

	"backburn/auth/internal/kv"
	"backburn/auth/internal/statefile"
)

const grantHeader = "backburn grant v1\n"

// stageResponse precedes the stages of package statefile: the answer has arrived, and nothing has
// been written.
const stageResponse = "response"

// grantFile is a state file with the sealed refresh token.
type grantFile struct{ statefile.File }

// read returns the sealed bytes, or kv.ErrKeyNotFound.
func (f grantFile) read() ([]byte, error) {
	raw, err := f.Read()
	if errors.Is(err, fs.ErrNotExist) {
		return nil, kv.ErrKeyNotFound
	}
	if err != nil {
		return nil, err
	}

	body, ok := bytes.CutPrefix(raw, []byte(grantHeader))
	if !ok {
		return nil, fmt.Errorf("%s is not a grant file", f.Path)
	}

	sealed, err := base64.StdEncoding.DecodeString(string(bytes.TrimSpace(body)))
	if err != nil {
		return nil, fmt.Errorf("%s is damaged", f.Path)
	}

	return sealed, nil
}

// write replaces the file's contents with the sealed bytes.
func (f grantFile) write(sealed []byte) error {
	return f.Write([]byte(grantHeader + base64.StdEncoding.EncodeToString(sealed) + "\n"))
}
