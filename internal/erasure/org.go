package erasure

import (
	"context"

	"holdfast/internal/metadata"
)

// EraseOrg erases what is kept of people for one organization that was closed:
// the items of its orders, the rows of its lists and all metadata. The catalogue, which is
// everybody's, stays, and so do verdicts, counts, charges and the journal. It
// may be called again at any time, also after an error.
func (e *Erasures) EraseOrg(ctx context.Context, org string) error {
	if err := e.book.EraseOrg(ctx, org); err != nil {
		return err
	}
	if err := metadata.New(e.pool).Erase(ctx, org); err != nil {
		return err
	}
	return e.catalogue.EraseLists(ctx, org)
}
