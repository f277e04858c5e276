package image

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// decodeJSON decodes one value and nothing else. A field that is not known is an error:
// it would be state that a restart silently drops.
func decodeJSON(text []byte, v any) error {
	if err := weigh(text); err != nil {
		return err
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return wordJSON(err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows the value")
	}
	RestoreText(text, v)
	return nil
}

// wordJSON says what package json says in terms of the file rather than of Go.
func wordJSON(err error) error {
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return errTruncated
	case errors.As(err, &syntax) && err.Error() == "unexpected end of JSON input":
		return errTruncated
	case errors.As(err, &syntax):
		return fmt.Errorf("byte %d: %w", syntax.Offset, err)
	case errors.As(err, &kind):
		return fmt.Errorf("%s: byte %d: a %s does not belong here", kind.Field, kind.Offset, kind.Value)
	}
	return errors.New(strings.TrimPrefix(err.Error(), "json: "))
}

// weigh refuses text with more values than any real record of its length has, so that
// what is decoded stays in proportion to the text: an object in three bytes of JSON may take a
// thousand of memory.
func weigh(text []byte) error {
	const perObject, slack = 24, 64
	objects, quoted := 0, false
	for i := 0; i < len(text); i++ {
		switch {
		case text[i] == '"':
			quoted = !quoted
		case quoted && text[i] == '\\':
			i++
		case !quoted && text[i] == '{':
			objects++
		}
	}
	if objects > len(text)/perObject+slack {
		return fmt.Errorf("%d objects in %d bytes", objects, len(text))
	}
	return nil
}

// encodeJSON renders a value as decodeJSON reads it.
func encodeJSON(v any) ([]byte, error) {
	text, err := MarshalText(v)
	if err != nil {
		return nil, err
	}
	return append(text, '\n'), nil
}
