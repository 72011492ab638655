//go:build !linux

package fanout

import (
	"errors"
	"net"
)

// Socket is nothing here: sockets are parked on Linux alone, elsewhere each stream keeps its goroutine.
type Socket struct{ tls *wire }

// Detach leaves c as it is.
func Detach(net.Conn) (s Socket, ok bool, err error) { return Socket{}, false, nil }

// Conn is never called.
func (Socket) Conn() (net.Conn, error) { return nil, errors.ErrUnsupported }

func (Socket) write([]byte) (n int, full bool, err error) { return 0, false, errors.ErrUnsupported }
func (Socket) read([]byte) (int, error)                   { return 0, errors.ErrUnsupported }
func (Socket) close()                                     {}

type poll struct{ done chan struct{} }

func openPoll() (*poll, error) { return &poll{done: make(chan struct{})}, nil }

func (p *poll) run(func([]ready))        { <-p.done }
func (p *poll) add(Socket, uint64) error { return errors.ErrUnsupported }
func (p *poll) remove(Socket)            {}
func (p *poll) close()                   { close(p.done) }
