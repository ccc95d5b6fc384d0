package stix

import (
	"bytes"
	"encoding/json"
	"strings"

	"github.com/google/uuid"
)

// common has the properties of every object.
type common struct {
	Type        string `json:"type"`
	SpecVersion string `json:"spec_version"`
	ID          string `json:"id"`
}

// domain has the properties of every domain object, as opposed to an observable.
type domain struct {
	common

	CreatedBy string `json:"created_by_ref,omitempty"`
	Created   string `json:"created"`
	Modified  string `json:"modified"`
}

// The objects of a bundle, with the properties that are used here.
type (
	identity struct {
		domain

		Name  string `json:"name"`
		Class string `json:"identity_class"`
	}

	malware struct {
		domain

		Name     string   `json:"name"`
		IsFamily bool     `json:"is_family"`
		Samples  []string `json:"sample_refs"`
	}

	analysis struct {
		domain

		Product  string   `json:"product"`
		Result   string   `json:"result"`
		Sample   string   `json:"sample_ref"`
		Observed []string `json:"analysis_sco_refs,omitempty"`
	}

	indicator struct {
		domain

		Name        string   `json:"name"`
		Types       []string `json:"indicator_types"`
		Pattern     string   `json:"pattern"`
		PatternType string   `json:"pattern_type"`
		ValidFrom   string   `json:"valid_from"`
	}

	relationship struct {
		domain

		Kind   string `json:"relationship_type"`
		Source string `json:"source_ref"`
		Target string `json:"target_ref"`
	}

	file struct {
		common

		Hashes map[string]string `json:"hashes"`
		Name   string            `json:"name,omitempty"`
		Size   int64             `json:"size,omitempty"` // in bytes
	}

	valueObservable struct {
		common

		Value string `json:"value"`
	}
)

var (
	// observables is the namespace of observables: every producer gives the same observable the
	// same identifier (STIX 2.1, section 2.9).
	observables = uuid.MustParse("00abedb4-aa42-466c-9c01-fed23315a9b7")

	// findings is the namespace for everything else.
	findings = uuid.MustParse("5f1c5f0c-3a70-4c1f-9d0e-7b7e0a4f6b1d")
)

// observable starts an object whose identifier is derived from some of its properties.
func observable(kind string, key map[string]any) common {
	return common{
		Type:        kind,
		SpecVersion: specVersion,
		ID:          kind + "--" + uuid.NewSHA1(observables, canonical(key)).String(),
	}
}

const specVersion = "2.1"

// fileKey has the properties from which a file's identifier is derived: its name and one hash, the
// first of this order.
func fileKey(hashes map[string]string, name string) map[string]any {
	key := map[string]any{}
	for _, algorithm := range []string{"MD5", "SHA-1", "SHA-256"} {
		if hash, ok := hashes[algorithm]; ok {
			key["hashes"] = map[string]string{algorithm: hash}
			break
		}
	}
	if name != "" {
		key["name"] = name
	}

	return key
}

// canonical returns the JSON of a value by RFC 8785, as far as needed here: ordered keys and
// minimal escapes.
func canonical(v any) []byte {
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	_ = e.Encode(v) // maps of strings can always be encoded

	return []byte(lineSeparators.Replace(strings.TrimSuffix(out.String(), "\n")))
}

// lineSeparators restores the two characters that Go always escapes. The first pair keeps an
// escaped backslash, so that the text after it is not taken for an escape.
var lineSeparators = strings.NewReplacer(`\\`, `\\`, `\u2028`, "\u2028", `\u2029`, "\u2029")
