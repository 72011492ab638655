//go:build unix

package main

import "syscall"

// allowedDescriptors returns how many files may be open. Go has raised the soft limit to the hard one before main.
func allowedDescriptors() (int, error) {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 0, err
	}
	return int(min(limit.Cur, manyDescriptors)), nil
}
