package rootfs

import "path/filepath"

// Option changes how a root resolves names.
type Option func(*options)

type options struct{ oneMount bool }

// OneMount refuses to open names that are on another mount than the root. It has no effect on macOS
// and Windows.
func OneMount() Option { return func(o *options) { o.oneMount = true } }

// pathBelow returns the path of rel below a root, with the system's separators.
func pathBelow(root, rel string) string { return filepath.Join(root, filepath.FromSlash(rel)) }
