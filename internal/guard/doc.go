// Package guard prevents Backburn's own data from being submitted or uploaded: its secrets, its
// configuration, and the files and folders with its state.
//
// A [Guard] is made from the configuration of one process. It knows two things:
//
//   - each file and folder by identity (device, inode, birth time), whatever name leads to it;
//   - each secret by its bytes, anywhere in contents, alone or in other text.
//
// While it is used, it checks its files again every second, because secrets are replaced. If a name
// no longer exists, it remembers the last file and its secrets, because that file may have been
// moved.
//
// It does not recognize a secret that is encoded, compressed, encrypted or split, or shorter than
// [MinSecret] bytes, because such a short text occurs in other contents by chance. Certificates and
// public keys are not secrets. It does not know the secrets of other processes: each process checks
// for its own.
//
// No error or other output of this package contains a byte of a secret.
package guard
