// Package cell puts several installations behind one address. Each cell is a whole
// one, with a database, a Temporal namespace and workers of its own, and knows of no
// other; a directory says in which one an organization is. See README.md.
package cell

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"holdfast/internal/api"
	"holdfast/internal/errcode"
)

const (
	// Header names the cell of an operator's request that is about no organization.
	Header = "Holdfast-Cell"

	prefix   = "/api/v1"
	mostKept = 100_000 // secrets that are remembered with their organizations
	mayRead  = 1 << 20 // bytes of a body that is read to find the cell
)

// Cell is one installation.
type Cell struct {
	Name    string
	Pool    *pgxpool.Pool
	Handler http.Handler // its API and dashboard
}

// Router is an http.Handler that hands each request to the cell it belongs to. It
// is safe for concurrent use.
type Router struct {
	cells     []Cell
	directory *Directory
	operator  [sha256.Size]byte
	usable    bool // there is an operator key
	log       *slog.Logger

	mu     sync.Mutex
	owners map[[sha256.Size]byte]owner
	last   map[string]Place // where organizations were when the directory last answered
}

// owner is whose a key, a session or a login link is. It never changes: whether it
// is still good, its cell says.
type owner struct {
	org      string
	operator bool
}

// NewRouter returns a router to cells that are registered; the first one has the
// directory. operatorKey is that of all cells; empty: there is no operator.
func NewRouter(ctx context.Context, cells []Cell, operatorKey string, log *slog.Logger) (*Router, error) {
	rt := &Router{
		cells: cells, directory: NewDirectory(cells[0].Pool), operator: sha256.Sum256([]byte(operatorKey)), usable: operatorKey != "", log: log,
		owners: map[[sha256.Size]byte]owner{}, last: map[string]Place{},
	}
	return rt, rt.directory.Knows(ctx, cells)
}

// Why no cell is asked, in the words of the answer.
var (
	errMoving      = errcode.New(errcode.Unavailable, "The organization is being moved; repeat the request in a minute.")
	errNoCell      = errcode.New(errcode.Invalid, "This is about no organization: name a cell in the header "+Header+", or an organization with ?org=.")
	errCursor      = errcode.New(errcode.Invalid, "The cursor is none of this list; begin again without one.")
	errUnknownCell = errcode.New(errcode.Invalid, "There is no such cell.")
	errPlaced      = errcode.New(errcode.Conflict, "The organization was given another cell before; leave the cell out.")
)

// ServeHTTP hands one request to its cell.
func (rt *Router) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	to, err := rt.choose(w, r)
	switch {
	case err != nil:
		rt.refuse(w, r, err)
	case to == nil: // answered
	default:
		w.Header().Set(Header, to.Name)
		to.Handler.ServeHTTP(w, r)
	}
}

func (rt *Router) refuse(w http.ResponseWriter, r *http.Request, err error) {
	kind, detail := errcode.Unavailable, "The directory of cells does not answer; repeat the request in a moment."
	switch {
	case errors.Is(err, errMoving), errors.Is(err, errNoCell), errors.Is(err, errUnknownCell), errors.Is(err, errCursor), errors.Is(err, errPlaced):
		kind, detail = errcode.Of(err).Kind, err.Error()
	case errors.Is(err, context.Canceled):
	default:
		rt.log.ErrorContext(r.Context(), "The cell of a request was not found.", "error", err)
	}
	if kind == errcode.Unavailable {
		w.Header().Set("Retry-After", "5")
	}
	api.Refuse(w, r, kind, detail)
}

// home has the directory, the sessions of operators, and answers what is the same
// in all cells.
func (rt *Router) home() *Cell { return &rt.cells[0] }

func (rt *Router) named(name string) (*Cell, error) {
	for i := range rt.cells {
		if rt.cells[i].Name == name {
			return &rt.cells[i], nil
		}
	}
	return nil, errcode.Say(errUnknownCell, "There is no cell %q; there are %s.", name, strings.Join(rt.names(), ", "))
}

func (rt *Router) names() (names []string) {
	for _, c := range rt.cells {
		names = append(names, c.Name)
	}
	return names
}

// cellOf is the cell of an organization; the first one, which answers "not found",
// where it is in none.
func (rt *Router) cellOf(ctx context.Context, org string) (*Cell, error) {
	place, found, err := rt.directory.Find(ctx, org)
	if err != nil {
		// What was true lasts until it moves, and where it is no more, it is not found.
		rt.mu.Lock()
		place, found = rt.last[org]
		rt.mu.Unlock()
		if !found {
			return nil, err
		}
	}
	if !found {
		there, err := rt.ask(ctx, `SELECT 1 FROM organization WHERE id = $1`, org)
		if err != nil || there == nil {
			return rt.home(), err
		}
		if place, err = rt.directory.put(ctx, org, there.Name); err != nil {
			return nil, err
		}
	}
	rt.mu.Lock()
	if len(rt.last) >= mostKept {
		clear(rt.last)
	}
	rt.last[org] = place
	rt.mu.Unlock()
	if place.MovingTo != "" {
		return nil, errMoving
	}
	return rt.named(place.Cell)
}

// ask is the first cell in whose database a query finds a row; nil where none does.
// A cell that does not answer is passed over, unless all others know nothing.
func (rt *Router) ask(ctx context.Context, query string, args ...any) (*Cell, error) {
	var failed error
	for i := range rt.cells {
		var one int
		err := rt.cells[i].Pool.QueryRow(ctx, query, args...).Scan(&one)
		if err == nil {
			return &rt.cells[i], nil
		}
		if !errors.Is(err, pgx.ErrNoRows) {
			failed = fmt.Errorf("the cell %s does not answer: %w", rt.cells[i].Name, err)
		}
	}
	return nil, failed
}

// ownerOf finds whose a secret is; a query selects an organization, empty for the
// operator, by the secret's hash.
func (rt *Router) ownerOf(ctx context.Context, secret, query string) (owner, bool, error) {
	hash := sha256.Sum256([]byte(secret))
	rt.mu.Lock()
	known, ok := rt.owners[hash]
	rt.mu.Unlock()
	if ok {
		return known, true, nil
	}
	var failed error
	for _, c := range rt.cells {
		var org string
		err := c.Pool.QueryRow(ctx, query, hash[:]).Scan(&org)
		if errors.Is(err, pgx.ErrNoRows) {
			continue
		}
		if err != nil {
			failed = fmt.Errorf("the cell %s does not answer: %w", c.Name, err)
			continue
		}
		found := owner{org, org == ""}
		rt.mu.Lock()
		defer rt.mu.Unlock()
		if len(rt.owners) >= mostKept {
			clear(rt.owners)
		}
		rt.owners[hash] = found
		return found, true, nil
	}
	return owner{}, false, failed
}

// isOperator says whether a secret is the operator key.
func (rt *Router) isOperator(secret string) bool {
	hash := sha256.Sum256([]byte(secret))
	return rt.usable && subtle.ConstantTimeCompare(hash[:], rt.operator[:]) == 1
}

// place gives an organization that is about to be made a cell: the one that is
// wanted or, where none is, the one with the fewest. An organization that is there
// stays where it is.
func (rt *Router) place(ctx context.Context, org, wanted string) (*Cell, error) {
	if wanted != "" {
		if _, err := rt.named(wanted); err != nil {
			return nil, err
		}
	}
	there, err := rt.ask(ctx, `SELECT 1 FROM organization WHERE id = $1`, org)
	if err != nil {
		return nil, err // it may be in the cell that does not answer
	}
	if there != nil {
		return rt.cellOf(ctx, org)
	}
	to := wanted
	if to == "" {
		if to, err = rt.directory.fewest(ctx, rt.names()); err != nil {
			return nil, err
		}
	}
	place, err := rt.directory.put(ctx, org, to)
	if err != nil {
		return nil, err
	}
	if wanted != "" && place.Cell != wanted { // by an attempt that made nothing yet
		return nil, errPlaced
	}
	return rt.named(place.Cell)
}
