// Command press presses keys on a terminal that another program reads, such as the console of the lab's guest: the kernel takes the
// characters as if they had been typed. It needs root.
//
// usage: press DEVICE DELAY KEY...
package main

import (
	"fmt"
	"os"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

func main() {
	if err := press(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "press:", err)
		os.Exit(1)
	}
}

func press(args []string) error {
	if len(args) < 3 {
		return fmt.Errorf("usage: press DEVICE DELAY KEY")
	}
	delay, err := time.ParseDuration(args[1])
	if err != nil {
		return err
	}
	tty, err := os.OpenFile(args[0], os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return err
	}
	defer tty.Close()
	for _, key := range args[2:] {
		time.Sleep(delay)
		for _, b := range []byte(key) {
			if _, _, errno := unix.Syscall(unix.SYS_IOCTL, tty.Fd(), unix.TIOCSTI, uintptr(unsafe.Pointer(&b))); errno != 0 {
				return fmt.Errorf("%s: TIOCSTI: %w", args[0], errno)
			}
		}
	}
	return nil
}
