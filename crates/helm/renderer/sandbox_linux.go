package main

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// refused are the system calls that this process never needs and a template must never reach: the network in all its
// forms (io_uring can open sockets without socket(2)), other programs, and other processes' memory. They fail with
// EPERM; everything else stays as it is.
var refused = []uint32{
	unix.SYS_SOCKET, unix.SYS_SOCKETPAIR, unix.SYS_CONNECT, unix.SYS_BIND, unix.SYS_LISTEN, unix.SYS_ACCEPT4,
	unix.SYS_SENDTO, unix.SYS_SENDMSG, unix.SYS_SENDMMSG, unix.SYS_RECVFROM, unix.SYS_RECVMSG, unix.SYS_RECVMMSG,
	unix.SYS_IO_URING_SETUP, unix.SYS_IO_URING_ENTER, unix.SYS_IO_URING_REGISTER,
	unix.SYS_EXECVE, unix.SYS_EXECVEAT,
	unix.SYS_PTRACE, unix.SYS_PROCESS_VM_READV, unix.SYS_PROCESS_VM_WRITEV, unix.SYS_PIDFD_GETFD, unix.SYS_BPF,
}

// Offsets in struct seccomp_data.
const (
	offsetNumber       = 0
	offsetArchitecture = 4
)

// x32Bit marks the calls of amd64's second table, which would otherwise slip past the numbers above.
const x32Bit = 0x40000000

// enterSandbox puts a seccomp filter on every thread of the process, present and future, and forbids core dumps, which
// would hold values. It cannot be undone.
func enterSandbox() error {
	limit := unix.Rlimit{}
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &limit); err != nil {
		return fmt.Errorf("core dumps cannot be turned off: %w", err)
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("privileges cannot be given up: %w", err)
	}
	filter := program()
	bpf := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	// TSYNC: the filter, and the privileges given up, hold for all threads that the Go runtime has started by now.
	thread, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC,
		uintptr(unsafe.Pointer(&bpf)))
	if errno != 0 {
		return fmt.Errorf("the system call filter is refused: %w", errno)
	}
	if thread != 0 {
		return fmt.Errorf("the system call filter does not reach thread %d", thread)
	}
	return nil
}

func program() []unix.SockFilter {
	const (
		load = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
		same = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
		high = unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K
		give = unix.BPF_RET | unix.BPF_K
	)
	filter := []unix.SockFilter{
		{Code: load, K: offsetArchitecture},
		{Code: same, K: architecture, Jt: 1},
		{Code: give, K: unix.SECCOMP_RET_KILL_PROCESS},
		{Code: load, K: offsetNumber},
		{Code: high, K: x32Bit, Jf: 1},
		{Code: give, K: unix.SECCOMP_RET_KILL_PROCESS},
	}
	for _, number := range refused {
		filter = append(filter,
			unix.SockFilter{Code: same, K: number, Jf: 1},
			unix.SockFilter{Code: give, K: unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)})
	}
	return append(filter, unix.SockFilter{Code: give, K: unix.SECCOMP_RET_ALLOW})
}
