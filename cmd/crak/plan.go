package main

import (
	"github.com/spf13/cobra"

	"crak.dev/crak/image"
	"crak.dev/crak/restore"
)

func newPlan() *cobra.Command {
	return &cobra.Command{
		Use:   "plan IMAGE",
		Short: "print the system calls that a restart would make",
		Long: `Print the restore programs of an image: the straight list of system calls that each of its processes and
threads would make at a restart, on this machine. Nothing is restarted, and no file is opened but the image's.
Numbers of descriptors are examples.

Exit status: 0 printed; 1 not an image, or one that cannot be compiled here; 2 usage.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := asOwner(args[0]); err != nil {
				return err
			}
			img, err := image.Open(args[0])
			if err != nil {
				return err
			}
			defer img.Close()
			return restore.Plan(cmd.OutOrStdout(), img)
		},
	}
}
