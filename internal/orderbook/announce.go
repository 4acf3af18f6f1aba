package orderbook

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"holdfast/internal/order"
)

// reservations is the channel of PostgreSQL on which announcements come.
const reservations = "reservation"

// Announcement is what became of a submitted order, for the process that waits to
// answer its submitter.
type Announcement struct {
	OrderID     string         `json:"order_id"`
	Order       order.Order    `json:"order,omitzero"` // as it was reserved or rejected
	RequestHash string         `json:"request_hash,omitempty"`
	Refused     *order.Refusal `json:"refused,omitempty"` // there is no order
	Rides       bool           `json:"rides,omitempty"`   // its ride carries it out
}

// Announce notifies those who listen of what became of orders. Who misses it finds an
// order in the book.
func (b *Book) Announce(ctx context.Context, list []Announcement) error {
	if len(list) == 0 {
		return nil
	}
	texts := make([]string, len(list))
	for i, a := range list {
		text, err := json.Marshal(a)
		if err != nil {
			return fmt.Errorf("announcing what became of order %s: %w", a.OrderID, err)
		}
		texts[i] = string(text)
	}
	if _, err := b.pool.Exec(ctx, `SELECT pg_notify($1, said) FROM unnest($2::text[]) AS said`, reservations, texts); err != nil {
		return fmt.Errorf("announcing what became of %d orders: %w", len(list), err)
	}
	return nil
}

// Listener is a connection on which announcements are heard.
type Listener struct{ conn *pgx.Conn }

// Listen begins to listen to announcements, and makes one to see that they come
// through: a pooler between may take LISTEN and never pass anything on. The caller
// closes the listener.
func (b *Book) Listen(ctx context.Context) (*Listener, error) {
	conn, err := pgx.ConnectConfig(ctx, b.pool.Config().ConnConfig)
	if err != nil {
		return nil, fmt.Errorf("listening to announcements: %w", err)
	}
	l := &Listener{conn}
	if err := b.tryOut(ctx, l); err != nil {
		l.Close(ctx)
		return nil, err
	}
	return l, nil
}

func (b *Book) tryOut(ctx context.Context, l *Listener) error {
	if _, err := l.conn.Exec(ctx, `LISTEN `+reservations); err != nil {
		return fmt.Errorf("listening to announcements: %w", err)
	}
	probe := Announcement{OrderID: "probe/" + uuid.NewString()}
	if err := b.Announce(ctx, []Announcement{probe}); err != nil {
		return err
	}
	for {
		heard, err := l.Next(ctx)
		if err != nil || heard.OrderID == probe.OrderID {
			return err
		}
	}
}

// Next waits for the next announcement.
func (l *Listener) Next(ctx context.Context) (a Announcement, err error) {
	heard, err := l.conn.WaitForNotification(ctx)
	if err != nil {
		return a, fmt.Errorf("listening to announcements: %w", err)
	}
	if err := json.Unmarshal([]byte(heard.Payload), &a); err != nil {
		return a, fmt.Errorf("an announcement that cannot be read: %w", err)
	}
	return a, nil
}

// Close ends the connection, also where ctx is done.
func (l *Listener) Close(ctx context.Context) { _ = l.conn.Close(context.WithoutCancel(ctx)) }
