package main

import (
	"github.com/spf13/cobra"

	"crak.dev/crak/fd"
	"crak.dev/crak/restore"
)

func newPlan() *cobra.Command {
	var changes fd.Changes
	cmd := &cobra.Command{
		Use:   "plan [--path OLD=NEW]… [--addr OLD=NEW]… [--fd …]… IMAGE",
		Short: "print the system calls that a restart would make",
		Long: `Print the restore programs of an image: the list of system calls that each process and thread would make at a
restart on this machine. Nothing is restarted, and only the files of the image are opened. The descriptor numbers are
examples.

Exit status: 0 printed; 1 not an image, or its restore programs cannot be made on this machine; 2 usage.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			img, err := openImage(cmd, args[0])
			if err != nil {
				return err
			}
			defer img.Close()
			if err := changes.Apply(img.Group); err != nil {
				return err
			}
			return restore.Plan(cmd.OutOrStdout(), img)
		},
	}
	changeFlags(cmd.Flags(), &changes)
	return cmd
}
