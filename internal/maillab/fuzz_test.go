package maillab

import (
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// FuzzConversation_M7 sends anything to a host: it must answer or hang up.
func FuzzConversation_M7(f *testing.F) {
	for _, seed := range []string{
		"EHLO a\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<user1@ordinary.odd.test>\r\nDATA\r\n.\r\nQUIT\r\n",
		"HELO a\nMAIL FROM: <> SIZE=1\nMAIL FROM:<>\nRCPT TO:<@relay.test:user1@ordinary.odd.test>\n",
		"EHLO a\r\nSTARTTLS\r\n\x16\x03\x01\x00\x01\x00",
		"EHLO a\r\nMAIL FROM:<>\r\nRCPT TO:<\"a>\\\"b\"@ordinary.odd.test>\r\nRCPT TO:<@>\r\nRCPT TO:<@@>\r\nRSET\r\nNOOP\r\nVRFY x\r\n",
		"\r\n \r\nEHLO\r\nHELO \r\nRCPT\r\nMAIL FROM:\r\nMAIL FROM:<\r\n",
	} {
		f.Add([]byte(seed))
	}
	world := NewWorld(Config{Domains: 1})
	secure, err := selfSigned()
	require.NoError(f, err)
	manners := []manner{{voice: plainVoice, tls: offersTLS}, {voice: bigVoice, utf8: true, wire: bareLF}, {voice: terseVoice, noPipelining: true}}
	f.Fuzz(func(t *testing.T, input []byte) {
		for i := range manners {
			lab := &Lab{world: world, tls: secure, done: make(chan struct{})}
			host := &mailHost{host: world.domains["ordinary.odd.test"].hosts[0], lab: lab}
			there, here := net.Pipe()
			ended := make(chan struct{})
			go func() {
				c := &conversation{lab: lab, host: host, manner: &manners[i], conn: there}
				c.converse()
				_ = there.Close()
				close(ended)
			}()
			said := make(chan []byte)
			go func() {
				out, _ := io.ReadAll(here)
				said <- out
			}()
			_, _ = here.Write(input) // the host may have hung up
			_, _ = here.Write([]byte("\r\n.\r\nQUIT\r\n"))
			require.NoError(t, here.Close())
			select {
			case <-ended:
			case <-time.After(10 * time.Second):
				t.Fatal("the session goes on though the client has left")
			}
			require.NotEmpty(t, <-said)
		}
	})
}
