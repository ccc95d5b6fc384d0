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
		if keepErr := p.addPassedFiles(space[:rights]); err == nil {
			err = keepErr
		}
	}

	return max(n, 0), err // -1 after an error
}

func (p *peer) addPassedFiles(rights []byte) error {
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
			if keepErr := p.addPassedFile(os.NewFile(uintptr(fd), "")); keepErr != nil {
				err = keepErr
			}
		}
		if err != nil {
			return err
		}
	}

	return nil
}
