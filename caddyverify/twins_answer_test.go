package caddyverify

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing/synctest"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// twinAnswer is an answer, and its fields by where they stand.
type twinAnswer struct {
	code       int
	media      string
	body       string
	fields     map[string]string
	unreadable error
}

// call makes a call of both at once, and waits for both.
func (w *twins) call(o wire.Operation, f wire.Format, forms [2]string, key string) (answers [2]twinAnswer) {
	var both sync.WaitGroup
	for side, d := range w.sides {
		both.Go(func() {
			r := httptest.NewRequest(http.MethodPost, wire.Path(o, f), strings.NewReader(forms[side]))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			if key != "" {
				r.Header.Set("Idempotency-Key", key)
			}
			recorder := httptest.NewRecorder()
			_ = d.ServeHTTP(recorder, r, nil) // always nil: see TestRefusals
			a := &answers[side]
			a.code, a.media, a.body = recorder.Code, recorder.Header().Get("Content-Type"), recorder.Body.String()
			a.read(f)
		})
	}
	both.Wait()
	synctest.Wait()
	return answers
}

// read takes an answer apart.
func (a *twinAnswer) read(f wire.Format) {
	a.fields = map[string]string{}
	if f == wire.XML {
		a.unreadable = a.readXML()
		return
	}
	var tree any
	a.unreadable = json.Unmarshal([]byte(a.body), &tree)
	a.flatten("", tree)
}

func (a *twinAnswer) flatten(path string, tree any) {
	switch tree := tree.(type) {
	case map[string]any:
		for name, value := range tree {
			a.flatten(strings.TrimPrefix(path+"."+name, "."), value)
		}
	case []any:
		a.fields[path+"."] = fmt.Sprint(len(tree), " of these")
		for i, value := range tree {
			a.flatten(fmt.Sprint(path, ".", i), value)
		}
	default:
		a.fields[path] = fmt.Sprint(tree)
	}
}

// readXML gives elements the names of their places among their siblings.
func (a *twinAnswer) readXML() error {
	d := xml.NewDecoder(strings.NewReader(a.body))
	var path []string
	children := []map[string]int{{}}
	for {
		token, err := d.Token()
		if err != nil {
			if len(path) == 0 && errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		switch token := token.(type) {
		case xml.StartElement:
			name := token.Name.Local
			n := children[len(children)-1][name]
			children[len(children)-1][name]++
			if n > 0 {
				name += fmt.Sprint(".", n)
			}
			path, children = append(path, name), append(children, map[string]int{})
			a.fields[strings.Join(path[1:], ".")] += ""
		case xml.CharData:
			if len(path) > 0 {
				a.fields[strings.Join(path[1:], ".")] += strings.TrimSpace(string(token))
			}
		case xml.EndElement:
			path, children = path[:len(path)-1], children[:len(children)-1]
		}
	}
}
