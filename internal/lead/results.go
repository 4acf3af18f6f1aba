package lead

import (
	"context"
	"errors"
	"io"
)

// ResultOptions steer what WriteResults writes.
type ResultOptions struct {
	All bool // every item with its verdict, not the delivered ones alone
}

// WriteResults streams what an order delivered so far to w.
func (c *Catalogue) WriteResults(ctx context.Context, w io.Writer, orderID, format string, opts ResultOptions) error {
	return errors.New("results are being built")
}
