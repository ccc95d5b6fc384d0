package poller

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"

	"backburn/pipeline"
)

// sampleID is the key of a sample in binary form, which needs half the memory of the text.
type sampleID struct {
	sum  [sha256.Size]byte
	link bool
}

// parseSampleID parses a key that pipeline.SampleKey made.
func parseSampleID(key string) (id sampleID, ok bool) {
	digits, link := pipeline.CutLink(key)
	if len(digits) != 2*len(id.sum) {
		return sampleID{}, false
	}

	_, err := hex.Decode(id.sum[:], []byte(digits))
	id.link = link

	return id, err == nil
}

func (id sampleID) key() string {
	digits := hex.EncodeToString(id.sum[:])
	if id.link {
		return pipeline.LinkKeyOf(digits)
	}

	return digits
}

// prefix returns the first eight bytes of the SHA-256. Two samples may have the same prefix.
func (id sampleID) prefix() uint64 { return binary.LittleEndian.Uint64(id.sum[:]) }
