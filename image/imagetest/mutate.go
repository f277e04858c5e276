package imagetest

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"maps"
	"slices"
)

// Mutate changes values of a JSON text, so that it stays JSON: bytes that a fuzzer changes at random seldom do. Each edit is three
// bytes: the number of a value in the text, and what it becomes.
func Mutate(text, edits []byte) []byte {
	var tree any
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	if decoder.Decode(&tree) != nil {
		return text
	}
	for ; len(edits) >= 3; edits = edits[3:] {
		values := count(tree)
		if values > mostValues { // lists that double again and again
			break
		}
		at := int(binary.LittleEndian.Uint16(edits)) % values
		tree = edit(tree, &at, edits[2])
	}
	changed, err := json.Marshal(tree)
	if err != nil {
		return text
	}
	return changed
}

// mostValues bounds a text that grows.
const mostValues = 20000

// count returns the number of values in a tree.
func count(tree any) int {
	n := 1
	switch v := tree.(type) {
	case map[string]any:
		for _, value := range v {
			n += count(value)
		}
	case []any:
		for _, value := range v {
			n += count(value)
		}
	}
	return n
}

// edit changes the value with the number *at, and makes *at negative then.
func edit(tree any, at *int, how byte) any {
	if *at == 0 {
		*at = -1
		return other(tree, how)
	}
	*at--
	switch v := tree.(type) {
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(v)) {
			if *at >= 0 {
				v[name] = edit(v[name], at, how)
			}
		}
	case []any:
		for i := range v {
			if *at >= 0 {
				v[i] = edit(v[i], at, how)
			}
		}
	}
	return tree
}

// others are values that are likely to be at an edge.
var others = []any{nil, json.Number("0"), json.Number("1"), json.Number("-1"), json.Number("4194304"), json.Number("2147483648"),
	json.Number("9223372036854775807"), json.Number("18446744073709551615"), "", "0x0", "0x1000", "0x7ffffffff000",
	"0xfffffffffffff000", "/dev/zero", "anonymous", "memory", "kernel", "AAAA", true, []any{}, map[string]any{}}

// other returns what a value becomes. A list can also get its elements twice, or without the first.
func other(tree any, how byte) any {
	list, isList := tree.([]any)
	switch n := int(how) % (len(others) + 2); {
	case n < len(others):
		return others[n]
	case isList && n == len(others):
		return append(slices.Clone(list), list...)
	case isList && len(list) > 0:
		return list[1:]
	}
	return tree
}
