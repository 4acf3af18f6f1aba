package postgres

import (
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Data that a machine does not take any more ends the connection, long before the
// operating system would.
func TestWhatIsSentIntoTheVoidEndsTheConnection(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	conn, err := dialer(time.Second)(t.Context(), "tcp", listener.Addr().String())
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, conn.SetDeadline(time.Now().Add(20*time.Second)))
	_, err = conn.Write(make([]byte, 64<<20)) // more than fits on the way; nothing reads it
	require.ErrorContains(t, err, "connection timed out")
}
