//go:build unix

package verify

import (
	"net"
	"syscall"
)

// pendingInput reports whether something has come in on the connection and
// is not read yet, without waiting.
func pendingInput(conn net.Conn) bool {
	sc, ok := conn.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return false
	}
	pending := false
	var buf [1]byte
	_ = raw.Control(func(fd uintptr) { // a closed connection shows at the next write
		n, _, err := syscall.Recvfrom(int(fd), buf[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		pending = err == nil && n > 0
	})
	return pending
}
