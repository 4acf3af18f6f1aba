package main

import (
	"fmt"

	"holdfast/bench/report"
)

// keptRate is how much of an earlier engine's rate is wanted.
const keptRate = 0.95

// rates are the addresses a second of an earlier run, by hosts and client.
type rates map[[2]string]float64

// readRates reads the result of an earlier run: the first table of its JSON.
func readRates(file string) (rates, error) {
	earlier, err := report.Load(file)
	if err != nil {
		return nil, err
	}
	if len(earlier.Tables) == 0 {
		return nil, fmt.Errorf("%s has no table of rates; it is not the result of this command", file)
	}
	list, hosts := rates{}, ""
	for _, row := range earlier.Tables[0].Rows {
		if len(row) < 3 {
			continue
		}
		name, _ := row[0].(string)
		client, _ := row[1].(string)
		rate, _ := row[2].(float64)
		if name != "" { // it stands in the first row of its hosts only
			hosts = name
		}
		list[[2]string{hosts, client}] = rate
	}
	return list, nil
}

// compare adds what has become of the earlier rates.
func (before rates) compare(r *report.Report, now []comparison) {
	table := r.Table("Compared with the earlier run", "hosts", "client", "addresses/s before", "addresses/s", "times the rate", "target")
	for _, c := range now {
		was, ok := before[[2]string{c.hosts, c.client}]
		if !ok {
			continue
		}
		table.Add(c.hosts, c.client, was, c.rate, c.rate/was, fmt.Sprintf("≥ %g", keptRate))
	}
}

// comparison is the rate of a client at some hosts.
type comparison struct {
	hosts, client string
	rate          float64
}
