//go:build unix

package clamd

import (
	"net"
	"os"
	"syscall"
)

// receive reads from a Unix socket, and stores the files passed with the data.
func (p *peer) receive(u *net.UnixConn, b []byte) (int, error) {
	var space [64]byte // for one file, and some headroom; the system drops further ones
	n, rights, _, _, err := u.ReadMsgUnix(b, space[:syscall.CmsgSpace(4)])
	if rights > 0 {
		if kept := p.keepAll(space[:rights]); err == nil {
			err = kept
		}
	}

	return max(n, 0), err // -1 after an error
}

func (p *peer) keepAll(rights []byte) error {
	messages, err := syscall.ParseSocketControlMessage(rights)
	if err != nil {
		return err
	}
	for _, m := range messages {
		fds, err := syscall.ParseUnixRights(&m)
		if err != nil {
			continue // credentials, for example
		}
		for _, fd := range fds {
			if kept := p.keep(os.NewFile(uintptr(fd), "")); kept != nil {
				err = kept
			}
		}
		if err != nil {
			return err
		}
	}

	return nil
}
