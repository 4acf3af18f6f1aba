package dashboard

// Route is a route as tests see it.
type Route struct {
	Method, Path string
	Upload       bool
	Needs        string // admin or operator; empty where a session is enough
}

// Routes are all routes that need a session.
func Routes() []Route {
	list := make([]Route, len(routes))
	for i, r := range routes {
		list[i] = Route{r.method, r.path, r.upload, map[need]string{admin: "admin", operator: "operator"}[r.needs]}
	}
	return list
}

// LocalPage is a page of the dashboard, or nothing.
var LocalPage = localPage
