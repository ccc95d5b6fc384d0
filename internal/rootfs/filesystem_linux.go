package rootfs

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// fileSystems has the statfs(2) magic numbers of common remote file systems, and of some local ones
// for their names. Others count as local.
var fileSystems = map[int64]FileSystem{
	0x6969:     {Kind: "nfs", Remote: true},
	0xFE534D42: {Kind: "smb2", Remote: true},
	0xFF534D42: {Kind: "cifs", Remote: true},
	0x517B:     {Kind: "smb", Remote: true},
	0x65735546: {Kind: "fuse", Remote: true},
	0x01021997: {Kind: "9p", Remote: true},
	0x00C36400: {Kind: "ceph", Remote: true},
	0x5346414F: {Kind: "afs", Remote: true},
	0x0BD00BD0: {Kind: "lustre", Remote: true},
	0x01161970: {Kind: "gfs2", Remote: true},
	0x7461636F: {Kind: "ocfs2", Remote: true},
	0x786F4256: {Kind: "vboxsf", Remote: true},
	0xEF53:     {Kind: "ext4"},
	0x58465342: {Kind: "xfs"},
	0x9123683E: {Kind: "btrfs"},
	0x01021994: {Kind: "tmpfs"},
	0x794C7630: {Kind: "overlay"},
	0x2FC12FC1: {Kind: "zfs"},
}

// FileSystem returns the properties of the file system.
func (r *Root) FileSystem() (FileSystem, error) {
	var st unix.Statfs_t
	if err := unix.Fstatfs(r.fd, &st); err != nil {
		return FileSystem{}, fmt.Errorf("statfs: %w", err)
	}

	info, ok := fileSystems[int64(uint32(st.Type))]
	if !ok {
		info.Kind = fmt.Sprintf("0x%X", uint32(st.Type))
	}
	info.Free = int64(st.Bavail) * int64(st.Bsize)  //nolint:unconvert // other architectures have other types
	info.Total = int64(st.Blocks) * int64(st.Bsize) //nolint:unconvert // as above

	return info, nil
}
