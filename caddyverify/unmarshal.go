package caddyverify

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
)

// UnmarshalJSON implements json.Unmarshaler.
func (a *App) UnmarshalJSON(text []byte) error {
	type plain App
	return unmarshal(text, (*plain)(a))
}

// UnmarshalJSON implements json.Unmarshaler.
func (h *Handler) UnmarshalJSON(text []byte) error {
	type plain Handler
	return unmarshal(text, (*plain)(h), "handler")
}

// UnmarshalJSON implements json.Unmarshaler.
func (h *Webhook) UnmarshalJSON(text []byte) error {
	type plain Webhook
	return unmarshal(text, (*plain)(h), "handler")
}

// UnmarshalJSON implements json.Unmarshaler.
func (s *Sandbox) UnmarshalJSON(text []byte) error {
	type plain Sandbox
	return unmarshal(text, (*plain)(s), "handler")
}

// UnmarshalJSON implements json.Unmarshaler.
func (h *Health) UnmarshalJSON(text []byte) error {
	type plain Health
	return unmarshal(text, (*plain)(h), "handler")
}

// UnmarshalJSON implements json.Unmarshaler.
func (l *Live) UnmarshalJSON(text []byte) error {
	type plain Live
	return unmarshal(text, (*plain)(l), "handler")
}

// unmarshal reads settings, which have perhaps the name of their module beside them. Its errors
// name the setting and what belongs there, and show no value, which may be a secret in a wrong
// place. A null is an error: encoding/json takes it for a setting that is not there, and a rule
// that a template has left empty would be off without a word.
func unmarshal(text []byte, into any, beside ...string) error {
	if err := unfit("", text, reflect.TypeOf(into).Elem(), beside...); err != nil {
		return err
	}
	return json.Unmarshal(text, into)
}

var (
	rawType         = reflect.TypeFor[json.RawMessage]()
	unmarshalerType = reflect.TypeFor[json.Unmarshaler]()
)

// unfit tells what in JSON cannot be read into a type, by its path; nil where all can.
func unfit(path string, text json.RawMessage, t reflect.Type, beside ...string) error {
	if string(bytes.TrimSpace(text)) == "null" {
		return misfit(path, "it is null; write a value, or leave it out")
	}
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch {
	case t == rawType: // another module's matter
		return nil
	case reflect.PointerTo(t).Implements(unmarshalerType), t.Kind() != reflect.Struct && t.Kind() != reflect.Map && t.Kind() != reflect.Slice:
		if json.Unmarshal(text, reflect.New(t).Interface()) != nil {
			return misfit(path, "it must be "+wanted(t))
		}
		return nil
	case t.Kind() == reflect.Slice:
		var all []json.RawMessage
		if json.Unmarshal(text, &all) != nil {
			return misfit(path, "it must be a list in brackets")
		}
		for i, one := range all {
			if err := unfit(fmt.Sprintf("%s[%d]", path, i), one, t.Elem()); err != nil {
				return err
			}
		}
		return nil
	}
	var members map[string]json.RawMessage
	if json.Unmarshal(text, &members) != nil {
		return misfit(path, "it must be an object in braces")
	}
	for _, name := range slices.Sorted(maps.Keys(members)) {
		of, known := member(t, name)
		at := strings.TrimPrefix(path+"."+name, ".")
		switch {
		case known:
			if err := unfit(at, members[name], of); err != nil {
				return err
			}
		case !slices.Contains(beside, name):
			return misfit(at, "there is no such setting")
		}
	}
	return nil
}

func misfit(path, what string) error {
	if path == "" {
		return errors.New(what)
	}
	return errors.New(path + ": " + what)
}

// member is the type of a member of an object, whose case encoding/json does not mind.
func member(t reflect.Type, name string) (reflect.Type, bool) {
	if t.Kind() == reflect.Map {
		return t.Elem(), true
	}
	for _, field := range reflect.VisibleFields(t) {
		tag, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		if tag != "" && strings.EqualFold(tag, name) {
			return field.Type, true
		}
	}
	return nil, false
}

// wanted says what a value of a type is like.
func wanted(t reflect.Type) string {
	switch {
	case t == reflect.TypeFor[caddy.Duration]():
		return `a duration in quotes, such as "10s"`
	case t == reflect.TypeFor[Lifetime]():
		return `a duration in quotes, such as "10s", or "auto"`
	case t.Kind() == reflect.Bool:
		return "true or false"
	case t.Kind() == reflect.String:
		return "text in quotes"
	case t.Kind() == reflect.Float64:
		return "a number"
	}
	return "a whole number"
}
