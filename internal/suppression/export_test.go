package suppression

// SetMost bounds the entries of an organization's list.
func SetMost(l *List, most int64) { l.most = most }
