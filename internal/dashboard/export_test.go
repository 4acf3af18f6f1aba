package dashboard

// LocalPage is a page of the dashboard, or nothing.
var LocalPage = localPage
