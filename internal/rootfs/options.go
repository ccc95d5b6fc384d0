package rootfs

import "path/filepath"

// Option changes how a root resolves names.
type Option func(*options)

type options struct{ oneMount bool }

// OneMount refuses names that are on another mount than the root.
func OneMount() Option { return func(o *options) { o.oneMount = true } }

// under returns a name below a root in the system's notation.
func under(root, rel string) string { return filepath.Join(root, filepath.FromSlash(rel)) }
