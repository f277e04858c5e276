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
			img, err := image.Open(args[0])
			if err != nil {
				return err
			}
			defer img.Close()
			forgotten, err := fd.Forget(img.Group)
			if err != nil {
				return fmt.Errorf("%s: %w", img.Path, err)
			}
			for _, connection := range forgotten {
				fmt.Fprintln(cmd.OutOrStdout(), connection)
			}
			return nil
		},
	}
}
