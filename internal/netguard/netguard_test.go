package netguard

import (
	"net"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPublic(t *testing.T) {
	for _, public := range []string{
		"8.8.8.8", "1.1.1.1", "100.63.255.255", "100.128.0.1", "172.15.0.1", "172.32.0.1", "192.0.1.1", "198.17.255.255",
		"198.20.0.1", "223.255.255.255", "::ffff:8.8.8.8", "2001:200::1", "2001:4860:4860::8888", "2003::1", "2a00:1450::1",
		"3fff:1000::1",
	} {
		require.True(t, Public(netip.MustParseAddr(public)), public)
	}
	for _, other := range []string{
		"0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "100.127.255.255", "127.0.0.1", "127.255.255.254", "169.254.169.254",
		"172.16.0.1", "172.31.255.255", "192.0.0.8", "192.0.2.1", "192.88.99.1", "192.168.0.1", "198.18.0.1", "198.19.255.255",
		"198.51.100.7", "203.0.113.7", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255",
		"::", "::1", "::7f00:1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "64:ff9b:1::1", "100::1",
		"2001::1", "2001:10::1", "2001:20::1", "2001:db8::1", "2002:7f00:1::", "3fff::1", "3fff:fff::1", "5f00::1",
		"4000::1", "fc00::1", "fd12::1", "fe80::1", "fe80::1%eth0", "fec0::1", "ff02::1",
	} {
		require.False(t, Public(netip.MustParseAddr(other)), other)
	}
	require.False(t, Public(netip.Addr{}))
}

func TestAllowLetsNetworksThrough(t *testing.T) {
	allow := Allow{netip.MustParsePrefix("127.64.0.0/10"), netip.MustParsePrefix("fe80::/64")}
	for address, want := range map[string]bool{
		"127.64.1.1": true, "::ffff:127.64.1.1": true, "127.0.0.1": false, "8.8.8.8": true, "fe80::1%eth0": true, "10.0.0.1": false,
	} {
		require.Equal(t, want, allow.Permits(netip.MustParseAddr(address)), address)
	}
	require.False(t, allow.Names(netip.MustParseAddr("8.8.8.8")))
	require.NoError(t, allow.Control("tcp4", "127.64.1.1:25", nil))
	require.ErrorIs(t, allow.Control("tcp4", "127.0.0.1:25", nil), ErrNotPublic)
	require.ErrorIs(t, allow.Control("tcp4", "localhost:25", nil), ErrNotPublic)
}

// TestControlStopsADialer: nothing is connected to, although someone listens.
func TestControlStopsADialer(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	_, err = (&net.Dialer{Control: Allow{}.Control}).Dial("tcp", listener.Addr().String())
	require.ErrorIs(t, err, ErrNotPublic)
	conn, err := (&net.Dialer{Control: Allow{netip.MustParsePrefix("127.0.0.0/8")}.Control}).Dial("tcp", listener.Addr().String())
	require.NoError(t, err)
	require.NoError(t, conn.Close())
}
