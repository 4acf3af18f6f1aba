package dashboard

import "time"

// LocalPage is a page of the dashboard, or nothing.
var LocalPage = localPage

// PageWithin shortens how long a page may take, until the function is called.
func PageWithin(d time.Duration) (restore func()) {
	before := pageWithin
	pageWithin = d
	return func() { pageWithin = before }
}
