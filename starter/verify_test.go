package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/text/encoding/unicode"

	"holdfast/internal/maillab"
	"holdfast/internal/verify"
)

// verifyAll runs the command on an input and decodes its lines.
func verifyAll(t *testing.T, w *world, stdin string, args ...string) (results []verify.Result, stderr string) {
	t.Helper()
	o := w.feed(stdin, append([]string{"verify", "-"}, args...)...).ok()
	for line := range strings.Lines(o.stdout) {
		var r verify.Result
		require.NoError(t, json.Unmarshal([]byte(line), &r), line)
		results = append(results, r)
	}
	return results, o.stderr
}

func utf16Text(t *testing.T, order unicode.Endianness, text string) string {
	t.Helper()
	encoded, err := unicode.UTF16(order, unicode.UseBOM).NewEncoder().String(text)
	require.NoError(t, err)
	return encoded
}

// labEnv points a command at a lab.
func labEnv(lab *maillab.Lab) []string {
	return []string{
		"HOLDFAST_DNS_SERVERS=" + lab.DNSAddr(), fmt.Sprint("HOLDFAST_SMTP_PORT=", lab.SMTPPort()), "HOLDFAST_SMTP_ALLOW=127.64.0.0/10,::1/128",
	}
}

func labWorld(t *testing.T) (*world, *maillab.Lab) {
	t.Helper()
	lab, err := maillab.Start(maillab.Config{Domains: 200, Only: []maillab.Kind{maillab.Ordinary, maillab.NullMX, maillab.CatchAll}})
	require.NoError(t, err)
	t.Cleanup(lab.Close)
	return newWorld(t, labEnv(lab)...), lab
}

func TestVerifyKeepsTheOrderOfTheInput(t *testing.T) {
	w, lab := labWorld(t)
	emails := lab.World().Emails(3*chunkSize+17, 0)
	results, stderr := verifyAll(t, w, strings.Join(emails, "\n")+"\n", "--summary")
	require.Len(t, results, len(emails))
	valid := 0
	for i, r := range results {
		require.Equal(t, emails[i], r.Email)
		require.False(t, lab.Truth(r.Email).Wrong(string(r.Verdict)), "%s is not %s", r.Email, r.Verdict)
		if r.Verdict == verify.Valid {
			valid++
		}
	}
	require.Greater(t, valid, len(emails)/4)
	require.Contains(t, stderr, "accepted")
	require.Contains(t, stderr, fmt.Sprintf("%s addresses in ", number(int64(len(emails)))))
}

func TestVerifyReadsLinesAndColumns(t *testing.T) {
	w, lab := labWorld(t)
	emails := lab.World().Emails(3, 1)
	for name, input := range map[string]string{
		"windows line ends":         strings.Join(emails, "\r\n"),
		"empty lines, spaces":       "\n  " + strings.Join(emails, "  \n\n\t") + "\n\n",
		"a mark at the start":       "\xef\xbb\xbf" + strings.Join(emails, "\n"),
		"a CSV column":              "name,Email\n\"Lind, Ada\"," + strings.Join(emails, "\nBo,"),
		"a CSV of one column":       "email\n" + strings.Join(emails, "\n"),
		"semicolons":                "Name;E-Mail;Land\nAda;" + strings.Join(emails, ";DE\nBo;") + ";SE",
		"tabs":                      "name\temail address\nAda\t" + strings.Join(emails, "\nBo\t"),
		"a separator for Excel":     "sep=;\r\nEmail;City\r\n" + strings.Join(emails, ";Bonn\r\n") + ";Bonn",
		"line breaks in cells":      "note,email\n\"two\nlines\"," + strings.Join(emails, "\n\"a, \"\"b\"\"\",") + "\n",
		"quotes out of place":       "name,email\nAda \"the first\" Lind," + strings.Join(emails, "\nBo,"),
		"columns without a header":  "Ada," + strings.Join(emails, ",SE\nBo,") + ",SE",
		"UTF-16, little endian":     utf16Text(t, unicode.LittleEndian, "Name;Email\nÅsa;"+strings.Join(emails, "\nBjörn;")),
		"UTF-16, big endian, lines": utf16Text(t, unicode.BigEndian, strings.Join(emails, "\r\n")),
		"Windows-1252":              "name,email\n\xc5sa," + strings.Join(emails, "\nBj\xf6rn,"),
	} {
		t.Run(name, func(t *testing.T) {
			results, _ := verifyAll(t, w, input)
			require.Len(t, results, 3)
			for i, r := range results {
				require.Equal(t, emails[i], r.Email)
			}
		})
	}
	results, _ := verifyAll(t, w, "")
	require.Empty(t, results)
	// An address is written as others are; what a column lacks is no row of it.
	results, _ = verifyAll(t, w, "email\nJ\xf6rg <j\xf6rg@nowhere.invalid>\n\n\"\"\nmailto:ada@nowhere.invalid\n")
	require.Equal(t, []string{"jörg@nowhere.invalid", "ada@nowhere.invalid"}, []string{results[0].Address, results[1].Address})
	// A list whose first line has a comma by chance loses no line.
	results, _ = verifyAll(t, w, "Lind, Ada <ada@nowhere.invalid>\nbo@nowhere.invalid\n")
	require.Len(t, results, 2)
	results, _ = verifyAll(t, w, "Ada,ada@nowhere.invalid\nbo@nowhere.invalid\nCy,cy at nowhere\n")
	require.Len(t, results, 3)
	require.Equal(t, "bo@nowhere.invalid", results[1].Email)
	results, _ = verifyAll(t, w, "not an address\n")
	require.Equal(t, verify.Syntax, results[0].Reason)
}

func TestVerifyRefusesWhatIsNoList(t *testing.T) {
	w, _ := labWorld(t)
	w.feed(strings.Repeat("x", maxLine+1), "verify", "-").fails(exitFailed, "line 1 is longer than")
	w.feed("name,email\n\"Ada,ada@one.test\n"+strings.Repeat("Bo,bo@one.test\n", 200), "verify", "-").fails(exitFailed, "line 2 has a quote")
	w.run("verify", "nowhere.txt").fails(exitFailed, "there is no file nowhere.txt")
	w.run("verify", "-", "--lab").fails(exitFailed, "No stack was found")
}

func TestReadAddressesHandsOnChunks(t *testing.T) {
	var input bytes.Buffer
	for i := range 2*chunkSize + 1 {
		fmt.Fprintf(&input, "a%d@one.test\n", i)
	}
	var sizes []int
	require.NoError(t, readAddresses(&input, func(emails []string) error {
		sizes = append(sizes, len(emails))
		return nil
	}))
	require.Equal(t, []int{chunkSize, chunkSize, 1}, sizes)
}

// What our own engine cannot tell, a service that is named after it is asked.
func TestVerifyFallsThroughToAnotherService(t *testing.T) {
	lab, err := maillab.Start(maillab.Config{Domains: 2, Only: []maillab.Kind{maillab.Ordinary}})
	require.NoError(t, err)
	t.Cleanup(lab.Close)
	var asked []string
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.Query().Get("email"))
		_, err := fmt.Fprint(w, `{"result":"ok","error":""}`)
		if err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(service.Close)
	w := newWorld(t, append(labEnv(lab), "HOLDFAST_VERIFY_PROVIDERS=smtp,millionverifier", "HOLDFAST_MILLIONVERIFIER_URL="+service.URL, "HOLDFAST_MILLIONVERIFIER_KEY=secret")...)
	known := lab.World().Emails(1, 0)[0]
	const blind = "ada@rcpt-252.odd.test" // its host will not say
	results, _ := verifyAll(t, w, known+"\n"+blind+"\n")
	require.Equal(t, verify.Version, results[0].Engine)
	require.Equal(t, verify.Valid, results[1].Verdict)
	require.Equal(t, "millionverifier", results[1].Engine)
	require.Equal(t, []string{blind}, asked)
}

func TestVerifyNamesAnUnknownProvider(t *testing.T) {
	w := newWorld(t, "HOLDFAST_VERIFY_PROVIDERS=smtp,best")
	w.feed("", "verify", "-").fails(exitFailed, `HOLDFAST_VERIFY_PROVIDERS has "best", which is no verification provider`)
}

// In an outage nothing that was found out is lost, and the command says how to
// continue: what it printed before and after is the whole list, in order.
func TestVerifyLosesNoLineInAnOutage(t *testing.T) {
	lab, err := maillab.Start(maillab.Config{Domains: 60, Only: []maillab.Kind{maillab.Unreachable}})
	require.NoError(t, err)
	t.Cleanup(lab.Close)
	var known, dead []string
	for _, d := range lab.World().Domains() {
		if lab.World().KindOf(d) == maillab.Unreachable {
			dead = append(dead, "user1@"+d)
		}
	}
	for i := range 7 {
		known = append(known, fmt.Sprintf("user%d@dns-null-mx.odd.test", i+1))
	}
	require.Greater(t, len(dead), 10)
	list := slices.Concat(known, dead)
	input := strings.Join(list, "\n")
	w := newWorld(t, append(labEnv(lab), "HOLDFAST_SMTP_CANARIES=connect-refused.odd.test")...)
	o := w.feed(input, "verify", "-")
	require.Equal(t, exitFailed, o.code)
	require.Contains(t, o.stderr, "o mail host can be reached")
	printed := strings.Count(o.stdout, "\n")
	require.GreaterOrEqual(t, printed, len(known))
	require.Less(t, printed, len(list))
	require.Contains(t, o.stderr, fmt.Sprintf("continue with --skip %d", printed))

	w = newWorld(t, labEnv(lab)...) // no canary, no outage
	rest := w.feed(input, "verify", "-", "--skip", strconv.Itoa(printed)).ok()
	var got []string
	for line := range strings.Lines(o.stdout + rest.stdout) {
		var r verify.Result
		require.NoError(t, json.Unmarshal([]byte(line), &r), line)
		require.NotEmpty(t, r.Verdict)
		got = append(got, r.Email)
	}
	require.Equal(t, list, got)
}

// A run that is interrupted says how to continue it.
func TestVerifySaysHowToContinueWhenInterrupted(t *testing.T) {
	lab, err := maillab.Start(maillab.Config{Domains: 2, Only: []maillab.Kind{maillab.Ordinary}})
	require.NoError(t, err)
	t.Cleanup(lab.Close)
	w := newWorld(t, labEnv(lab)...)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	cmd := w.command(ctx, "verify", "-")
	input, err := cmd.StdinPipe()
	require.NoError(t, err)
	var out, notes bytes.Buffer
	cmd.Stderr = &notes
	read, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	for i := range 2 * chunkSize {
		_, err := fmt.Fprintf(input, "user%d@dns-null-mx.odd.test\n", i)
		require.NoError(t, err)
	}
	lines := bufio.NewReader(io.TeeReader(read, &out)) // more input could come, so the rest waits
	for range chunkSize {
		_, err := lines.ReadString('\n')
		require.NoError(t, err)
	}
	// One that never answers holds the third chunk up.
	for i := range chunkSize {
		_, err := fmt.Fprintf(input, "user%d@banner-never.odd.test\n", i)
		require.NoError(t, err)
	}
	for range chunkSize {
		_, err := lines.ReadString('\n')
		require.NoError(t, err)
	}
	require.NoError(t, cmd.Process.Signal(os.Interrupt))
	_, err = io.Copy(io.Discard, lines)
	require.NoError(t, err)
	require.Error(t, cmd.Wait())
	require.Equal(t, exitSignal+int(syscall.SIGINT), cmd.ProcessState.ExitCode())
	require.Contains(t, notes.String(), fmt.Sprintf("to continue, use --skip %d.", strings.Count(out.String(), "\n")))
}

// A list of dead hosts is answered line by line: a host that works shows that
// the outage is theirs.
func TestVerifyAnswersADeadListToTheEnd(t *testing.T) {
	lab, err := maillab.Start(maillab.Config{Domains: 1500, Only: []maillab.Kind{maillab.Ordinary, maillab.Unreachable}})
	require.NoError(t, err)
	t.Cleanup(lab.Close)
	var alive, dead []string
	for _, d := range lab.World().Domains() {
		if lab.World().KindOf(d) == maillab.Unreachable {
			dead = append(dead, "user1@"+d)
		} else {
			alive = append(alive, "user1@"+d)
		}
	}
	require.Greater(t, len(dead), 20)
	list := slices.Concat(alive[:5], dead, alive[5:20])
	results, _ := verifyAll(t, newWorld(t, labEnv(lab)...), strings.Join(list, "\n"))
	require.Len(t, results, len(list))
	for i, r := range results {
		require.Equal(t, list[i], r.Email)
		require.False(t, lab.Truth(r.Email).Wrong(string(r.Verdict)), r.Email)
	}
}
