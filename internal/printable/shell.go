package printable

import "strings"

// Shell quotes a word for a command that the user may copy into a shell. A name that somebody else has chosen could otherwise be a command.
// What is not printable is still to be escaped: see Text.
func Shell(word string) string {
	const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-+,:@%"
	if word != "" && strings.Trim(word, plain) == "" {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
