package image

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
)

// Bounds of the memory that a decoded value may take, in bytes. Three bytes of JSON can be an object that takes a thousand bytes of
// memory. The bounds keep the memory in proportion to the text, and below a fixed limit.
const (
	shapeRatio = 16
	shapeSlack = 1 << 16
	shapeMost  = 128 << 20

	growth = 2 // factor by which the capacity of a slice exceeds its length
)

// A budget adds up the texts of a file, and the memory that their values will take, in bytes.
type budget struct {
	text, memory int
}

// A shape reads JSON before it is decoded. It finds unknown and repeated fields, and adds up the memory that the value will
// take.
type shape struct {
	text   []byte
	at     int
	budget *budget
	fields map[reflect.Type]map[string]field
}

// A field is one of a struct.
type field struct {
	index int // less than 64
	typ   reflect.Type
}

// checkShape checks a text that is to be decoded into what v points to. Preconditions: it is valid JSON.
func checkShape(text []byte, v any, b *budget) error {
	s := &shape{text: text, budget: b, fields: make(map[reflect.Type]map[string]field)}
	b.text += len(text)
	t := reflect.TypeOf(v).Elem()
	if err := s.grow(growth * int(t.Size())); err != nil { // it may become an element of a slice
		return err
	}
	return s.value(t)
}

func (s *shape) grow(n int) error {
	s.budget.memory += n
	if s.budget.memory > min(shapeSlack+shapeRatio*s.budget.text, shapeMost) {
		return fmt.Errorf("takes too much memory for a text of %d bytes", s.budget.text)
	}
	return nil
}

var rawMessage = reflect.TypeFor[json.RawMessage]()

// value reads a value of type t. The decoder refuses a value of another kind later.
func (s *shape) value(t reflect.Type) error {
	c := s.peek()
	switch {
	case t.Kind() == reflect.Pointer && c != 'n':
		if err := s.grow(int(t.Elem().Size())); err != nil {
			return err
		}
		return s.value(t.Elem())
	case t == rawMessage, isWord(t):
	case t.Kind() == reflect.Struct && c == '{':
		return s.object(t)
	case t.Kind() == reflect.Slice && c == '[', t.Kind() == reflect.Array && c == '[':
		return s.list(t)
	case t.Kind() == reflect.Map && c == '{':
		return s.entries(t)
	}
	return s.grow(s.skip())
}

// isWord tells whether a value of type t is one JSON string.
func isWord(t reflect.Type) bool {
	p := reflect.PointerTo(t)
	return p.Implements(reflect.TypeFor[json.Unmarshaler]()) ||
		p.Implements(reflect.TypeFor[interface{ UnmarshalText([]byte) error }]())
}

func (s *shape) object(t reflect.Type) error {
	fields := s.known(t)
	seen := uint64(0)
	s.at++ // {
	for s.peek() != '}' {
		start := s.at
		s.skip()
		name := string(s.text[start+1 : s.at-1]) // not unescaped: names of fields have no escapes
		f, ok := fields[name]
		if !ok {
			return fmt.Errorf("unknown field %.80q", name)
		}
		if seen&(1<<f.index) != 0 {
			return fmt.Errorf("field %q comes twice", name)
		}
		seen |= 1 << f.index
		s.peek()
		s.at++ // :
		if err := s.value(f.typ); err != nil {
			return err
		}
		if s.peek() == ',' {
			s.at++
		}
	}
	s.at++
	return nil
}

// mapEntry is more than the bytes that Go takes for an entry of a map, besides key and value.
const mapEntry = 32

// entries reads a map with strings as keys.
func (s *shape) entries(t reflect.Type) error {
	s.at++ // {
	for s.peek() != '}' {
		if err := s.grow(mapEntry + s.skip() + growth*int(t.Key().Size()+t.Elem().Size())); err != nil {
			return err
		}
		s.peek()
		s.at++ // :
		if err := s.value(t.Elem()); err != nil {
			return err
		}
		if s.peek() == ',' {
			s.at++
		}
	}
	s.at++
	return nil
}

func (s *shape) list(t reflect.Type) error {
	elem := t.Elem()
	s.at++ // [
	for s.peek() != ']' {
		if elem.Kind() == reflect.Struct && s.peek() != '{' && !isWord(elem) {
			return fmt.Errorf("byte %d: something else than an object in a list of objects", s.at)
		}
		if err := s.grow(growth * int(elem.Size())); err != nil {
			return err
		}
		if err := s.value(elem); err != nil {
			return err
		}
		if s.peek() == ',' {
			s.at++
		}
	}
	s.at++
	return nil
}

// known returns the fields of a struct by their JSON names.
func (s *shape) known(t reflect.Type) map[string]field {
	fields, ok := s.fields[t]
	if !ok {
		fields = make(map[string]field)
		for i := range t.NumField() {
			f := t.Field(i)
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			if name == "" {
				name = f.Name
			}
			if f.IsExported() {
				fields[name] = field{i, f.Type}
			}
		}
		s.fields[t] = fields
	}
	return fields
}

// peek returns the next byte that is not white space.
func (s *shape) peek() byte {
	for ; s.at < len(s.text); s.at++ {
		switch s.text[s.at] {
		case ' ', '\t', '\r', '\n':
		default:
			return s.text[s.at]
		}
	}
	return 0
}

// skip skips a value of any kind and returns its length in bytes.
func (s *shape) skip() int {
	s.peek()
	start := s.at
	for depth := 0; s.at < len(s.text); s.at++ {
		switch c := s.text[s.at]; c {
		case '{', '[':
			depth++
			continue
		case '}', ']':
			depth--
		case '"':
			for s.at++; s.at < len(s.text) && s.text[s.at] != '"'; s.at++ {
				if s.text[s.at] == '\\' {
					s.at++
				}
			}
		case ' ', '\t', '\r', '\n', ':', ',':
			continue
		default: // a number or a word
			for s.at+1 < len(s.text) && !strings.ContainsRune(" \t\r\n:,]}", rune(s.text[s.at+1])) {
				s.at++
			}
		}
		if depth <= 0 {
			s.at++
			break
		}
	}
	return s.at - start
}
