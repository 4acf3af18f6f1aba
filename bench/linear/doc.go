// Package linear checks that the ledger's operations are linearizable: seen from
// outside, each takes effect at one moment between its call and its answer,
// no matter which process carries it out.
package linear
