package fanout

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Socket is a descriptor of our own for a connected TCP socket, which nothing else knows.
type Socket struct {
	fd   int
	tls  *wire // nil for cleartext
	gate *Gate // that counts it, or nil
}

// Limits of a parked socket, measured in docs/performance.md.
const (
	// notSent is what the kernel keeps unsent before it says that the socket is full: without it a reader that takes
	// nothing swallows 4 MiB of kernel memory first.
	notSent = 16 << 10
	// userTimeout lets the kernel give up a peer that vanished with data on the way.
	userTimeout = 30_000 // ms
)

// Detach takes c's socket out of Go's hands: c is closed, the connection is not. Where that is not possible, for want of a
// descriptor for instance, ok is false and c is as before.
func Detach(c net.Conn) (s Socket, ok bool, err error) {
	if w := wireOf(c); w != nil {
		return w.park()
	}
	if g, isGated := c.(*gated); isGated {
		if s, ok, err = Detach(g.Conn); ok {
			s.gate = g.gate
			g.left.Store(true) // the socket has not
		}
		return s, ok, err
	}
	tcp, isTCP := c.(*net.TCPConn)
	if !isTCP {
		return Socket{}, false, nil
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return Socket{}, false, err
	}
	var fd int
	var dupErr error
	if err := raw.Control(func(original uintptr) {
		fd, dupErr = unix.FcntlInt(original, unix.F_DUPFD_CLOEXEC, 0)
	}); err != nil {
		return Socket{}, false, err
	}
	if errors.Is(dupErr, unix.EMFILE) || errors.Is(dupErr, unix.ENFILE) {
		return Socket{}, false, nil
	}
	if dupErr != nil {
		return Socket{}, false, fmt.Errorf("duplicate a socket: %w", dupErr)
	}
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
	if err != nil || flags&unix.O_NONBLOCK == 0 {
		_ = unix.Close(fd)
		return Socket{}, false, errors.Join(err, errors.New("a socket that blocks cannot be parked"))
	}
	for option, value := range map[int]int{unix.TCP_NOTSENT_LOWAT: notSent, unix.TCP_USER_TIMEOUT: userTimeout} {
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, option, value); err != nil {
			_ = unix.Close(fd)
			return Socket{}, false, fmt.Errorf("set TCP option %d: %w", option, err)
		}
	}
	_ = c.Close() // our descriptor keeps the connection open
	return Socket{fd: fd}, true, nil
}

// Conn returns the socket as a connection of Go's, and closes s.
func (s Socket) Conn() (net.Conn, error) {
	file := os.NewFile(uintptr(s.fd), "stream")
	c, err := net.FileConn(file)
	if err = errors.Join(err, file.Close()); err != nil {
		s.gate.leave()
		return nil, err
	}
	if s.gate != nil {
		c = &gated{Conn: c, gate: s.gate}
	}
	if s.tls != nil {
		c = s.tls.resume(c)
	}
	return c, nil
}

// write sends what the kernel takes at once; full says that it takes no more.
func (s Socket) write(p []byte) (n int, full bool, err error) {
	if s.tls != nil {
		return s.tls.send(p)
	}
	// RawSyscall: the call never blocks, so the scheduler need not know of it; that saves a tenth of a delivery.
	written, _, errno := unix.RawSyscall(unix.SYS_WRITE, uintptr(s.fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p))) //nolint:gosec // p outlives the call
	if errno == 0 {
		return int(written), int(written) < len(p), nil
	}
	if errno == unix.EAGAIN {
		return 0, true, nil
	}
	if errno == unix.EINTR {
		return 0, false, nil
	}
	return 0, false, errno
}

// read takes what the client has sent: nothing when there is nothing now, io.EOF when it has closed.
func (s Socket) read(p []byte) (int, error) {
	if s.tls != nil {
		return s.tls.receive(p)
	}
	for {
		n, err := unix.Read(s.fd, p)
		switch {
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EAGAIN):
			return 0, nil
		case err != nil:
			return 0, err
		case n == 0:
			return 0, io.EOF
		default:
			return n, nil
		}
	}
}

func (s Socket) close() {
	if s.tls != nil {
		s.tls.bye()
	}
	_ = unix.Close(s.fd)
	s.gate.leave()
}

// poll waits for many sockets at once. It is an epoll that itself is waited for through Go's poller: no thread sits in
// epoll_wait holding a processor.
type poll struct {
	fd     int
	file   *os.File
	closed atomic.Bool
}

func openPoll() (*poll, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll: %w", err)
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("epoll: %w", err)
	}
	return &poll{fd: fd, file: os.NewFile(uintptr(fd), "epoll")}, nil
}

// run hands the kernel's events to found until close.
func (p *poll) run(found func([]ready)) {
	raw, err := p.file.SyscallConn()
	if err != nil {
		return
	}
	events := make([]unix.EpollEvent, 256)
	for {
		n, failed := 0, error(nil)
		// The closure is called before it is waited for: what did not fit into events is taken at the next call.
		if err := raw.Read(func(fd uintptr) bool {
			for {
				n, failed = unix.EpollWait(int(fd), events, 0)
				if !errors.Is(failed, unix.EINTR) {
					return failed != nil || n > 0
				}
			}
		}); err != nil || failed != nil {
			return // closed
		}
		batch := make([]ready, n)
		for i, e := range events[:n] {
			batch[i] = ready{
				id:       uint64(uint32(e.Fd)) | uint64(uint32(e.Pad))<<32, //nolint:gosec // the two halves of add
				readable: e.Events&unix.EPOLLIN != 0,
				closed:   e.Events&(unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) != 0,
			}
		}
		found(batch)
	}
}

// add registers s once and for all: edges tell of room as well as of data.
func (p *poll) add(s Socket, id uint64) error {
	e := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLRDHUP | unix.EPOLLOUT | unix.EPOLLET, Fd: int32(uint32(id)), Pad: int32(uint32(id >> 32))} //nolint:gosec // 64 bits of the kernel's, in two halves
	return unix.EpollCtl(p.fd, unix.EPOLL_CTL_ADD, s.fd, &e)
}

func (p *poll) remove(s Socket) { _ = unix.EpollCtl(p.fd, unix.EPOLL_CTL_DEL, s.fd, nil) }

func (p *poll) close() {
	if p.closed.CompareAndSwap(false, true) {
		_ = p.file.Close()
	}
}
