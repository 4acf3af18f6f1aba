package linear

import (
	"context"
	"errors"
	"io"
	"net/rpc"
	"os"
	"os/exec"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"holdfast/internal/ledger"
)

// databaseOf is the variable that makes the test's program a process of the test: one
// that carries out what it reads from its input.
const databaseOf = "HOLDFAST_LINEAR_DATABASE"

func TestMain(m *testing.M) {
	if url := os.Getenv(databaseOf); url != "" {
		if err := serve(url); err != nil {
			panic(err)
		}
		return
	}
	os.Exit(m.Run())
}

// serve carries out calls until its input ends.
func serve(url string) error {
	pool, err := pgxpool.New(context.Background(), url)
	if err != nil {
		return err
	}
	server := rpc.NewServer()
	if err := server.Register(&Books{ledger.New(pool)}); err != nil {
		return err
	}
	server.ServeConn(pipes{os.Stdin, os.Stdout})
	return nil
}

// Books carries out calls with a ledger of its own.
type Books struct{ ledger *ledger.Ledger }

// Reply is the definite answer to a call, or what is wrong with the call.
type Reply struct {
	Answer Answer
	Wrong  string
}

// Do carries out a call. An error leaves open whether it took effect.
func (b *Books) Do(c Call, reply *Reply) error {
	out, err := b.do(context.Background(), c)
	switch {
	case errors.Is(err, ledger.ErrUnknownHold), errors.Is(err, ledger.ErrHoldClosed), errors.Is(err, ledger.ErrHoldExhausted):
		return nil
	case errors.Is(err, ledger.ErrInvalid), errors.Is(err, ledger.ErrKeyReused):
		reply.Wrong = err.Error()
		return nil
	}
	reply.Answer = out
	return err
}

func (b *Books) do(ctx context.Context, c Call) (Answer, error) {
	switch c.What {
	case "hold":
		held, err := b.ledger.Hold(ctx, ledger.Hold{Owner: c.Org, Key: c.Key, HoldID: c.Hold, Lines: []ledger.Line{{Type: "email", Amount: c.N, Pools: []string{""}}}})
		return Answer{Done: held.Held}, err
	case "capture":
		_, err := b.ledger.Capture(ctx, ledger.Capture{Owner: c.Org, Key: c.Key, HoldID: c.Hold, Type: "email", Amount: c.N})
		return Answer{Done: err == nil}, err
	case "release":
		_, err := b.ledger.Release(ctx, ledger.Release{Owner: c.Org, Key: c.Key, HoldID: c.Hold})
		return Answer{Done: err == nil}, err
	}
	balances, err := b.ledger.Balances(ctx, c.Org)
	var out Answer
	for _, b := range balances {
		out.Available, out.Held = out.Available+b.Available, out.Held+b.Held
	}
	return out, err
}

// pipes are the two ends of a conversation with a process.
type pipes struct {
	io.ReadCloser
	io.WriteCloser
}

func (p pipes) Close() error { return errors.Join(p.ReadCloser.Close(), p.WriteCloser.Close()) }

// process is a process of the test, and its successors.
type process struct {
	url string

	mu     sync.Mutex
	cmd    *exec.Cmd
	client *rpc.Client
}

func newProcess(t *testing.T, url string) *process {
	p := &process{url: url}
	require.NoError(t, p.again())
	t.Cleanup(p.kill)
	return p
}

// again kills the process, with all that it does, and starts another one.
func (p *process) again() error {
	p.kill()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cmd = exec.Command(os.Args[0])
	p.cmd.Env, p.cmd.Stderr = append(os.Environ(), databaseOf+"="+p.url), os.Stderr
	in, err := p.cmd.StdinPipe()
	if err != nil {
		return err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := p.cmd.Start(); err != nil {
		return err
	}
	p.client = rpc.NewClient(pipes{out, in})
	return nil
}

// kill ends the process by SIGKILL. Calls that it has not answered fail.
func (p *process) kill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil {
		return
	}
	_ = p.cmd.Process.Kill()
	_ = p.client.Close()
	_ = p.cmd.Wait() // it was killed
}

func (p *process) do(c Call) (reply Reply, err error) {
	p.mu.Lock()
	client := p.client
	p.mu.Unlock()
	err = client.Call("Books.Do", c, &reply)
	return reply, err
}
