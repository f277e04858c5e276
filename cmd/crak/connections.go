package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"crak.dev/crak/fd"
	"crak.dev/crak/image"
)

func newForget() *cobra.Command {
	return &cobra.Command{
		Use:   "forget IMAGE",
		Short: "give up the TCP connections that wait for a restart of an image",
		Long: `After crak checkpoint --kill this machine drops the packets of the program's TCP connections to other programs, so that
the peers wait for the restart. If you will not restart the image, crak forget lets the packets through again: when a peer
sends data, this machine then resets the connection. crak forget does not change the image. It prints each connection. It needs
CAP_NET_ADMIN in the network namespace of the program.

Exit status: 0 the connections are given up, or there are none; 1 failure; 2 usage.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return withConnections(cmd, args[0], func(img *image.Image) ([]string, error) { return fd.Forget(img.Group) })
		},
	}
}

func newHold() *cobra.Command {
	return &cobra.Command{
		Use:   "hold IMAGE",
		Short: "drop the packets of an image's TCP connections until its restart",
		Long: `When the program of an image moves to this machine together with its IP address, the peers of its TCP connections may send
before crak restart has made its sockets. This machine would then reset the connections. After crak hold it drops these packets, until a
restart of the image, or crak forget. Call it before you add the address. It prints each connection. It needs CAP_NET_ADMIN.
If root calls it for an image of another user, crak restart --as-owner makes the connections.

Exit status: 0 the packets are dropped, or there are no connections; 1 failure; 2 usage.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return withConnections(cmd, args[0], func(img *image.Image) ([]string, error) { return fd.Hold(img.Group, img.Path) })
		},
	}
}

// withConnections calls do for the TCP connections of an image to other programs, and prints them.
func withConnections(cmd *cobra.Command, path string, do func(*image.Image) ([]string, error)) error {
	img, err := openImage(cmd, path)
	if err != nil {
		return err
	}
	defer img.Close()
	connections, err := do(img)
	if err != nil {
		return fmt.Errorf("%s: %w", img.Path, err)
	}
	for _, connection := range connections {
		fmt.Fprintln(cmd.OutOrStdout(), connection)
	}
	return nil
}
