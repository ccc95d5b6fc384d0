//go:build unix

package clamd

import (
	"net"
	"os"
	"syscall"
)

// receive reads from a Unix socket, and stores the files passed with the data.
func (p *peer) receive(u *net.UnixConn, b []byte) (int, error) {
	var space [64]byte // more than CmsgSpace(4) on every system
	// The system drops files for which there is no room.
	n, rights, _, _, err := u.ReadMsgUnix(b, space[:syscall.CmsgSpace(4)])
	if rights > 0 {
		if addErr := p.addPassedFiles(space[:rights]); err == nil {
			err = addErr
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
			if addErr := p.addPassedFile(os.NewFile(uintptr(fd), "")); addErr != nil {
				err = addErr
			}
		}
		if err != nil {
			return err
		}
	}

	return nil
}
