package verify

// Ours reports whether a verdict with this reason failed on our side or on the
// way: our address, our sender, our name servers, a service we asked, a host we
// did not reach. It says nothing about the address, and customers should not pay for
// it. A host that was reached and would not tell is not ours.
func (r Reason) Ours() bool {
	switch r { //nolint:exhaustive // all others tell something about the address or its host
	case Blocked, SenderRefused, ConnectFailed, ProviderFailed, DNSError, BudgetSpent:
		return true
	}
	return false
}
