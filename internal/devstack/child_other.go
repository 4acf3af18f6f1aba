//go:build !linux

package devstack

import "syscall"

// dieWithParent has no counterpart outside Linux: what a killed run leaves behind
// is stopped by the next one that uses the same directory.
func dieWithParent(*syscall.SysProcAttr, syscall.Signal) {}
