package main

import "fmt"

// descriptors is how the open files that the system allows are shared out, so that clients never take what the store and
// the operator need.
type descriptors struct {
	store   int // the store's tables
	clients int // sockets of the public listeners
	surplus int // of these, the last, which do not stay
	admin   int // sockets of the operator's listener
}

const (
	// minDescriptors is the least to work with.
	minDescriptors = 256
	// ownDescriptors is what everything else takes: the listeners, the write-ahead log, tables being written, fetches of
	// keys, and the second descriptor that a socket has for a moment while it is parked.
	ownDescriptors   = 64
	adminDescriptors = 32
	// manyDescriptors stands for no limit.
	manyDescriptors = 1 << 20
)

// descriptorsOf shares out what the system allows.
func descriptorsOf() (descriptors, error) {
	allowed, err := allowedDescriptors()
	if err != nil {
		return descriptors{}, fmt.Errorf("read the limit on open files: %w", err)
	}
	return shareDescriptors(allowed)
}

// shareDescriptors shares out allowed of them, or says that they are too few.
func shareDescriptors(allowed int) (descriptors, error) {
	if allowed < minDescriptors {
		return descriptors{}, fmt.Errorf("the system allows %d open files, at least %d are needed: raise the limit (ulimit -n, LimitNOFILE=)", allowed, minDescriptors)
	}
	d := descriptors{store: min(max(allowed/8, 64), 1000), admin: adminDescriptors}
	d.clients = allowed - ownDescriptors - d.store - d.admin
	d.surplus = min(max(d.clients/8, 16), 1024)
	return d, nil
}
