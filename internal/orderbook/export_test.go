package orderbook

// ListSQL is the query of a page of orders.
func ListSQL(f Filter) (sql string, args []any) { return listQuery(f, 1<<62) }
