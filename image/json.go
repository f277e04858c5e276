package image

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// decodeJSON decodes a text that must be one JSON object. An unknown field is an error: a restart would silently drop the state
// in it.
func decodeJSON(text []byte, v any) error { return decodeWithin(text, v, new(budget)) }

// DecodeRecord decodes a Record, as decodeJSON does.
func DecodeRecord(text json.RawMessage, v any) error { return decodeJSON(text, v) }

// decodeWithin decodes one of several texts of a file, which share a budget.
func decodeWithin(text []byte, v any, b *budget) error {
	if len(text) == 0 {
		return errTruncated
	}
	if err := json.Unmarshal(text, new(struct{})); err != nil { // is it an object, and valid?
		return wordJSON(err)
	}
	if err := checkShape(text, v, b); err != nil {
		return err
	}
	if err := json.Unmarshal(text, v); err != nil {
		return wordJSON(err)
	}
	restoreText(text, v)
	return nil
}

// wordJSON rewrites an error of package json: it names bytes of the file, not types of Go.
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

// encodeJSON encodes a value for decodeJSON.
func encodeJSON(v any) ([]byte, error) {
	text, err := MarshalText(v)
	if err != nil {
		return nil, err
	}
	return append(text, '\n'), nil
}
