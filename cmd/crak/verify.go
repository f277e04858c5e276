package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"crak.dev/crak/image"
	"crak.dev/crak/internal/printable"
)

func newVerify() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "verify [--json] IMAGE",
		Short: "check every checksum of an image",
		Long: `Read all of an image and compare it with its checksums: the SHA-256 of its files and the CRC-32C of each page frame.
The first damaged part is named.

Exit status: 0 the image is whole; 1 it is damaged, or not an image; 2 usage.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := asOwner(cmd, args[0]); err != nil {
				return err
			}
			result := verify(cmd.Context(), args[0])
			if !asJSON {
				if result.err == nil {
					result.print(cmd.OutOrStdout())
				}
				return result.err
			}
			if err := printJSON(cmd.OutOrStdout(), result); err != nil {
				return err
			}
			return result.err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the outcome as one JSON object")
	return cmd
}

// verification is the object that crak verify --json prints.
type verification struct {
	Path    string `json:"path"`
	OK      bool   `json:"ok"`
	Problem string `json:"problem,omitempty"`
	Frames  uint64 `json:"frames"`
	Bytes   uint64 `json:"bytes"` // of content

	err  error
	took time.Duration
}

func verify(ctx context.Context, path string) verification {
	start := time.Now()
	v := verification{Path: path}
	img, err := image.Open(path)
	if err == nil {
		defer img.Close()
		v.Path = img.Path
		v.Frames, v.Bytes = img.Totals("").Frames, img.Totals("").Raw
		err = img.Verify(ctx, nil)
	}
	v.took = time.Since(start)
	v.OK, v.err = err == nil, err
	if err != nil {
		v.Problem = err.Error()
	}
	return v
}

func (v verification) print(w io.Writer) {
	fmt.Fprintf(w, "%s: OK (%d frames, %s, in %v)\n", printable.Text(v.Path), v.Frames, bytesText(v.Bytes),
		v.took.Round(time.Millisecond))
}
