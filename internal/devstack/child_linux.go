package devstack

import "syscall"

// dieWithParent asks the kernel to send s to the child when the thread that
// started it ends.
func dieWithParent(attr *syscall.SysProcAttr, s syscall.Signal) { attr.Pdeathsig = s }
