package status

import (
	"bytes"
	"encoding"
	"encoding/json"
	"flag"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write docs/admin.schema.json")

// TestSchema holds docs/admin.schema.json to the documents: it is made of their types, and
// says of each field what its comment says.
func TestSchema(t *testing.T) {
	s := schema{comments: comments(t), definitions: map[string]any{}}
	for _, document := range []any{Status{}, Verification{}, Event{}, GuardReports{}} {
		s.of(reflect.TypeOf(document))
	}
	written, err := json.MarshalIndent(map[string]any{
		"$schema":     "https://json-schema.org/draft/2020-12/schema",
		"title":       "The documents of caddy-verify's admin API",
		"description": "docs/admin.md says which path has which.",
		"$defs":       s.definitions,
	}, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	written = append(written, '\n')
	const file = "../../../docs/admin.schema.json"
	if *update {
		if err := os.WriteFile(file, written, 0o644); err != nil { //nolint:gosec // a document
			t.Fatal(err)
		}
	}
	if kept, err := os.ReadFile(file); err != nil || !bytes.Equal(kept, written) {
		t.Errorf("%s is not what the types make: go test ./caddyverify/internal/status -update (%v)", file, err)
	}
}

// schema makes a JSON schema of types.
type schema struct {
	comments    map[string]string // by type, or type.field
	definitions map[string]any
}

func (s *schema) of(t reflect.Type) map[string]any {
	switch {
	case t.Implements(reflect.TypeFor[encoding.TextMarshaler]()):
		return map[string]any{"type": "string", "format": "date-time"}
	case t.Kind() == reflect.Pointer:
		return s.of(t.Elem())
	case t.Kind() == reflect.Slice:
		return map[string]any{"type": "array", "items": s.of(t.Elem())}
	case t.Kind() == reflect.Map:
		return map[string]any{"type": "object", "additionalProperties": s.of(t.Elem())}
	case t.Kind() == reflect.Struct:
		s.define(t)
		return map[string]any{"$ref": "#/$defs/" + t.Name()}
	case t.Kind() == reflect.String:
		return map[string]any{"type": "string"}
	case t.Kind() == reflect.Bool:
		return map[string]any{"type": "boolean"}
	case t.Kind() == reflect.Float64:
		return map[string]any{"type": "number"}
	}
	return map[string]any{"type": "integer"}
}

func (s *schema) define(t reflect.Type) {
	if s.definitions[t.Name()] != nil {
		return
	}
	properties, required := map[string]any{}, []string{}
	s.definitions[t.Name()] = true // it is being defined
	for field := range t.Fields() {
		name, options, _ := strings.Cut(field.Tag.Get("json"), ",")
		property := s.of(field.Type)
		if comment := s.comments[t.Name()+"."+field.Name]; comment != "" {
			property["description"] = comment
		}
		properties[name] = property
		if options == "" {
			required = append(required, name)
		}
	}
	s.definitions[t.Name()] = map[string]any{
		"type": "object", "description": s.comments[t.Name()], "properties": properties, "required": required, "additionalProperties": false,
	}
}

// comments are those of the package's types and their fields.
func comments(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	text := func(of ...*ast.CommentGroup) string {
		for _, c := range of {
			if c != nil {
				return strings.Join(strings.Fields(c.Text()), " ")
			}
		}
		return ""
	}
	files, err := parser.ParseDir(token.NewFileSet(), ".", nil, parser.ParseComments) //nolint:staticcheck // one package without build tags
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range slices.Collect(maps.Values(files["status"].Files)) {
		ast.Inspect(file, func(n ast.Node) bool {
			decl, ok := n.(*ast.GenDecl)
			if !ok || decl.Tok != token.TYPE {
				return true
			}
			spec := decl.Specs[0].(*ast.TypeSpec)
			all[spec.Name.Name] = text(decl.Doc)
			if fields, ok := spec.Type.(*ast.StructType); ok {
				for _, field := range fields.Fields.List {
					for _, name := range field.Names {
						all[spec.Name.Name+"."+name.Name] = text(field.Doc, field.Comment)
					}
				}
			}
			return true
		})
	}
	return all
}
