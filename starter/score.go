package main

import "holdfast/internal/verify"

// scoreBeside scores results beside the valid addresses among them.
func scoreBeside(results []verify.Result) {
	shapes := verify.Shapes{}
	for i := range results {
		shapes.Add(&results[i])
	}
	for i := range results {
		r := &results[i]
		r.Pattern = shapes.Compare(r.Email)
		verify.SetScore(r, r.CheckedAt)
	}
}
