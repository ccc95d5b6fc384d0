// Package guard keeps what is Backburn's own from being submitted or uploaded: its secrets, its
// configuration, and the files and folders in which it keeps its state.
//
// A [Guard] is made from the configuration of one process. It knows two things:
//
//   - each file and folder by identity (device, inode, birth time), whatever name leads to it;
//   - each secret by its bytes, wherever they stand in contents, on their own or in other text.
//
// It looks at its files again every second, since secrets are replaced. Of a name that leads to
// nothing any more it remembers the last file and its secrets: that file may have been moved.
//
// It does not recognize a secret that is encoded, compressed, encrypted or split, and no secret of
// less than [MinSecret] bytes: so short a text is in other contents by chance. Certificates and
// public keys are no secrets. What other processes have as their secrets it does not know: each
// process looks with its own.
//
// No error, and nothing else that this package gives out, holds a byte of a secret.
package guard
