// Package verify tells whether mailboxes exist: syntax, DNS, and an SMTP
// conversation with the mail host that ends before any message is sent.
//
// It is a library. It knows no database and no workflow engine; memory of
// verdicts, billing and long waits are its caller's. The README beside this
// file has the picture, the verdict table and the numbered invariants that the
// tests are named after.
package verify
