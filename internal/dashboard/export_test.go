package dashboard

// Route is a route as tests see it.
type Route struct {
	Method, Path string
	Upload       bool
}

// Routes are all routes that need a session.
func Routes() []Route {
	list := make([]Route, len(routes))
	for i, r := range routes {
		list[i] = Route{r.method, r.path, r.upload}
	}
	return list
}
