package main

import (
	"errors"
	"net"
	"os/exec"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// The filter cannot be taken off again, so this is the only test of this process that needs it off, and it is last.
func TestSandboxRefusesTheNetworkAndOtherPrograms(t *testing.T) {
	if err := enterSandbox(); err != nil {
		t.Fatal(err)
	}
	var wait sync.WaitGroup
	for range 16 {
		wait.Go(func() {
			if _, err := net.Dial("tcp", "127.0.0.1:1"); !errors.Is(err, unix.EPERM) {
				t.Errorf("dialling ended with %v", err)
			}
			if _, err := net.Dial("unix", "/nowhere"); !errors.Is(err, unix.EPERM) {
				t.Errorf("dialling ended with %v", err)
			}
		})
	}
	wait.Wait()
	if _, err := net.LookupHost("example.com"); err == nil {
		t.Error("a name was resolved")
	}
	if err := exec.Command("/bin/true").Run(); err == nil {
		t.Error("a program was started")
	}
}
