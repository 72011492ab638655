// Package e2e proves Roxy from outside: the real binary, real sockets, real curl and Chromium, and what survives a
// kill -9.
package e2e
