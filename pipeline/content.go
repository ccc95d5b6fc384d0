package pipeline

import "time"

// Content says where the contents of a job are. Either Object is set, or Path, PathB64 or both.
type Content struct {
	Object  string `json:"object,omitempty"`   // name in the object bucket
	Path    string `json:"path,omitempty"`     // slash-separated name below the source's root
	PathB64 []byte `json:"path_b64,omitempty"` // the bytes of a Path that is not UTF-8; takes precedence
}

// Name returns the path with its exact bytes.
func (c *Content) Name() string {
	if c.PathB64 != nil {
		return string(c.PathB64)
	}

	return c.Path
}

// ObjectInfo describes contents in the object bucket.
type ObjectInfo struct {
	Name    string
	ModTime time.Time // when it was stored
}
