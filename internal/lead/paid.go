package lead

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"holdfast/internal/order"
)

// ErrBadCursor is the error of a page's cursor that no page has given.
var ErrBadCursor = errors.New("the cursor is not one that a page has given")

// Paid is a value that an organization has paid for, with where and when.
type Paid struct {
	LeadID      string      `json:"lead_id"`
	FirstName   string      `json:"first_name"`
	LastName    string      `json:"last_name"`
	Title       string      `json:"title"`
	Company     string      `json:"company"`
	Country     string      `json:"country"`
	Field       order.Field `json:"field"`
	Value       string      `json:"value" doc:"As it was delivered; a telephone cell may have several numbers with semicolons between them."`
	OrderID     string      `json:"order_id"`
	Kind        order.Kind  `json:"kind" doc:"Of the order."`
	Member      string      `json:"member" doc:"Who ordered it; empty for the organization itself."`
	DeliveredAt time.Time   `json:"delivered_at"`
}

// paidPlace is where a page of paid values ends: at an item of an order.
type paidPlace struct{ seq, n int64 }

func (p paidPlace) String() string { return fmt.Sprintf("%d.%d", p.seq, p.n) }

func parsePaidPlace(cursor string) (p paidPlace, err error) {
	if cursor == "" {
		return paidPlace{seq: 1<<63 - 1, n: 1<<63 - 1}, nil
	}
	seq, n, found := strings.Cut(cursor, ".")
	var errSeq, errN error
	p.seq, errSeq = strconv.ParseInt(seq, 10, 64)
	p.n, errN = strconv.ParseInt(n, 10, 64)
	if !found || errSeq != nil || errN != nil {
		return paidPlace{}, ErrBadCursor
	}
	return p, nil
}

const (
	paidOrders  = 100     // orders that a page looks into at a time
	searchChunk = 5_000   // items that a search looks at in one statement
	searchMost  = 200_000 // items that a page of a search looks at
)

// Owned lists the values of leads that the viewer's organization has paid for,
// newest first, at most limit of them behind a cursor. What was credited back,
// and people who are suppressed or erased, are left out. With find, only those
// whose value, id, name, title or company has this text. A search ends after many
// items: its page may then have fewer than limit, and a cursor to go on with. The
// next cursor is empty at the end.
//
// Errors: ErrBadCursor.
func (c *Catalogue) Owned(ctx context.Context, v Viewer, find, cursor string, limit int) (paid []Paid, next string, err error) {
	at, err := parsePaidPlace(cursor)
	if err != nil {
		return nil, "", err
	}
	looked := 0
	for {
		orders, err := c.ordersWithLeads(ctx, v.Org, at.seq)
		if err != nil {
			return nil, "", err
		}
		for _, o := range orders {
			if o.Seq < at.seq {
				at = paidPlace{o.Seq, 1<<63 - 1}
			}
			for len(paid) < limit {
				chunk := limit - len(paid)
				if find != "" {
					chunk = searchChunk
					if looked += chunk; looked > searchMost {
						return paid, at.String(), nil
					}
				}
				more, last, err := c.paidItems(ctx, v, paidPart{o.ID, find, at.n, chunk}, limit-len(paid))
				if err != nil {
					return nil, "", err
				}
				if last == 0 {
					break // of this order there is no more
				}
				paid, at.n = append(paid, more...), last
			}
			if len(paid) == limit {
				return paid, at.String(), nil
			}
		}
		if len(orders) < paidOrders {
			return paid, "", nil
		}
		at = paidPlace{orders[len(orders)-1].Seq - 1, 1<<63 - 1}
	}
}

type orderRef struct {
	ID  string
	Seq int64
}

// ordersWithLeads are the latest orders of an organization, from seq down, that
// have delivered values of leads.
func (c *Catalogue) ordersWithLeads(ctx context.Context, org string, seq int64) ([]orderRef, error) {
	rows, _ := c.pool.Query(ctx, `
		SELECT id, seq FROM orders WHERE org = $1 AND seq <= $2 AND kind <> 'verify' AND delivered > 0
		ORDER BY seq DESC LIMIT $3`, org, seq, paidOrders)
	orders, err := pgx.CollectRows(rows, pgx.RowToStructByPos[orderRef])
	if err != nil {
		return nil, fmt.Errorf("reading the orders that delivered leads: %w", err)
	}
	return orders, nil
}

// paidPart is a number of items of an order, before the n-th, and what is looked
// for in them.
type paidPart struct {
	orderID, find string
	n             int64
	items         int
}

// paidItems are the paid values in a part of an order, last ones first and at most
// limit of them, and the number of the last item that was looked at; 0 where there
// is none.
func (c *Catalogue) paidItems(ctx context.Context, v Viewer, part paidPart, limit int) (paid []Paid, last int64, err error) {
	rows, err := c.pool.Query(ctx, `
		SELECT i.n, p.id IS NOT NULL, coalesce(p.id, ''), coalesce(p.first_name, ''), coalesce(p.last_name, ''), coalesce(p.title, ''),
			coalesce(p.company, ''), coalesce(p.country, ''), i.field, i.value, o.id, o.kind, o.member, coalesce(i.delivered_at, now())
		FROM (SELECT * FROM order_item WHERE order_id = $4 AND n < $5 ORDER BY n DESC LIMIT $6) i
		JOIN orders o ON o.id = i.order_id
		LEFT JOIN LATERAL (SELECT l.* FROM lead l WHERE l.no = i.lead_no AND i.delivered_at IS NOT NULL AND NOT i.already_owned
			AND i.field <> 'lead' AND i.value <> '' AND NOT `+isSuppressed+`
			AND (i.keys IS NULL OR EXISTS (SELECT FROM unnest(i.keys) AS k WHERE `+visible("k")+`))
			AND ($7 = '' OR strpos(lower(concat_ws(' ', i.value, l.id, l.first_name, l.last_name, l.title, l.company)), lower($7)) > 0) OFFSET 0) p ON true
		ORDER BY i.n DESC`, v.Org, v.Types, v.Scopes, part.orderID, part.n, part.items, part.find)
	if err != nil {
		return nil, 0, fmt.Errorf("reading what order %s delivered: %w", part.orderID, err)
	}
	var is bool
	var n int64
	var p Paid
	_, err = pgx.ForEachRow(rows, []any{
		&n, &is, &p.LeadID, &p.FirstName, &p.LastName, &p.Title, &p.Company, &p.Country, &p.Field, &p.Value,
		&p.OrderID, &p.Kind, &p.Member, &p.DeliveredAt,
	}, func() error {
		if len(paid) == limit {
			return nil // the next page begins here
		}
		if last = n; is {
			paid = append(paid, p)
		}
		return nil
	})
	if err != nil {
		return nil, 0, fmt.Errorf("reading what order %s delivered: %w", part.orderID, err)
	}
	return paid, last, nil
}
