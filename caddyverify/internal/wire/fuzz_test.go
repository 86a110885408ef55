package wire

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

func FuzzParseQuery(f *testing.F) {
	for i, test := range whole {
		f.Add(uint8(test.o), test.form, "")
		f.Add(uint8(test.o), credentials.Encode(), test.form)
		f.Add(uint8(i), test.form+"&", "&;&%zz&api_key[]=x")
	}
	f.Add(uint8(Search), ids(11), "request_id=a")
	f.Add(uint8(Request), "number=%2B44+1&brand=%00", "%6eumber=1&lg=\xff")
	f.Fuzz(func(t *testing.T, o uint8, query, form string) {
		operation := Operations[int(o)%len(Operations)]
		call, _, err := Parse(operation, JSON, post(query, formType, form), false)
		isSound(t, operation, call, err)
		if form == "" {
			fromGet, _, errGet := Parse(operation, JSON, get(query), false)
			if !reflect.DeepEqual(fromGet, call) || !reflect.DeepEqual(errGet, err) {
				t.Errorf("GET gives %v, %v, POST %v, %v", fromGet, errGet, call, err)
			}
		}
	})
}

func FuzzParseJSON(f *testing.F) {
	for _, test := range whole {
		f.Add(uint8(test.o), []byte(test.json))
	}
	for _, body := range []string{
		`{"number":447700900000,"brand":null,"code_length":6,"api_key":{"a":[1]}}`,
		`{"request_ids":["a",1,null,"a"],"request_id":""}`,
		`{"request_ids":[["a"]]}`,
		`{"n\u0075mber":"\ud83d\ude00","number":1e3}`,
		`{"number":true,"brand":-1.5}`,
		`[{"number":"44"}]`,
		"{\"\xff\":\"\xff\"} x",
	} {
		f.Add(uint8(Request), []byte(body))
		f.Add(uint8(Search), []byte(body))
	}
	f.Fuzz(func(t *testing.T, o uint8, body []byte) {
		operation := Operations[int(o)%len(Operations)]
		call, ignored, err := Parse(operation, JSON, post("", jsonType, string(body)), false)
		isSound(t, operation, call, err)
		if err != nil || !utf8.Valid(inBytes(body)) {
			return
		}
		// What was taken for a call is JSON to others too, and says the same to them.
		body = inBytes(body)
		var members map[string]any
		d := json.NewDecoder(bytes.NewReader(body))
		d.UseNumber()
		if err := d.Decode(&members); err != nil {
			t.Fatalf("taken for %s, but %v", string(call.AppendForm(nil)), err)
		}
		for _, p := range call.Params {
			if p.Name == "request_ids" {
				continue
			}
			switch value := members[p.Name].(type) {
			case nil: // given twice, and empty at last
			case string:
				if value != p.Value && value != "" {
					t.Errorf("%s is %q, to others %q", p.Name, p.Value, value)
				}
			case json.Number:
				if value.String() != p.Value {
					t.Errorf("%s is %q, to others %s", p.Name, p.Value, value)
				}
			default:
				t.Errorf("%s is %q, to others %v", p.Name, p.Value, value)
			}
		}
		for name := range members {
			if !isCredential(name) && !slices.ContainsFunc(parameters[operation], func(p parameter) bool { return p.name == name }) &&
				!slices.Contains(ignored, showName(name)) {
				t.Errorf("%q was passed over without a word", name)
			}
		}
	})
}

// isSound makes sure that a parser's answer is a fault or a call, and that the call
// is canonical: its form is read as the same call, and has nothing but its own
// parameters.
func isSound(t *testing.T, o Operation, call *Call, err error) {
	t.Helper()
	if err != nil {
		var fault *Fault
		if !errors.As(err, &fault) || call != nil {
			t.Fatalf("error %v beside the call %v", err, call)
		}
		if _, ok := wordings[fault.Cause]; !ok || fault.MayHaveSent {
			t.Fatalf("fault %+v", fault)
		}
		for _, format := range Formats {
			isSaid(t, o, format, Say(fault, o, format, true).Body, fault.Status(), fault.Error())
		}
		return
	}
	if len(call.Params) == 0 || call.Operation != o {
		t.Fatalf("the call is %+v", call)
	}
	for i, p := range call.Params {
		if p.Value == "" || isCredential(p.Name) {
			t.Errorf("parameter %q=%q", p.Name, p.Value)
		}
		if i > 0 && p.Name == call.Params[i-1].Name && p.Name != "request_ids" {
			t.Errorf("%s is there twice", p.Name)
		}
	}
	if ids, _ := call.IDs(); len(ids) > MaxIDs {
		t.Errorf("%d ids", len(ids))
	}
	form := string(call.AppendForm(nil))
	if len(form) > MaxBody {
		return // escaping made it longer than what a client may send
	}
	again, _, err := Parse(o, call.Format, post("", formType, form), true)
	if err != nil {
		t.Fatalf("its own form %s is refused: %v", form, err)
	}
	if !reflect.DeepEqual(again, call) {
		t.Errorf("its own form %s is read as %v, it was %v", form, again, call)
	}
}

func FuzzReadJSON(f *testing.F) { fuzzRead(f, JSON, agreesJSON) }
func FuzzReadXML(f *testing.F)  { fuzzRead(f, XML, agreesXML) }

func fuzzRead(f *testing.F, format Format, agrees func(*testing.T, []byte, Reading)) {
	for _, a := range answers(f) {
		if a.f == format {
			f.Add(uint8(a.o), a.body)
		}
	}
	for _, test := range hostile {
		if test.f == format && len(test.body) < 1000 {
			f.Add(uint8(test.o), []byte(test.body))
		}
	}
	f.Fuzz(func(t *testing.T, o uint8, body []byte) {
		operation := Operations[int(o)%len(Operations)]
		before := bytes.Clone(body)
		reading, err := Read(operation, format, body)
		if !bytes.Equal(body, before) {
			t.Fatal("reading changed the answer")
		}
		if err != nil {
			isUnreadable(t, reading, err)
			return
		}
		if reading.List != (reading.Status == "") {
			t.Errorf("list %v with status %q", reading.List, reading.Status)
		}
		if operation != Search && (reading.List || len(reading.Found) > 0 || !reading.Status.Numeric()) {
			t.Errorf("a %s says %+v", operation, reading)
		}
		if !bytes.Contains(body, reading.Raw) {
			t.Errorf("Raw %q is not in the answer", reading.Raw)
		}
		var raw [][]byte
		for _, v := range reading.Found {
			if !bytes.Contains(reading.Raw, v.Raw) {
				t.Errorf("the part %q is not in the answer", v.Raw)
			}
			raw = append(raw, v.Raw)
			single, err := Read(Search, format, One(format, v.Raw))
			if err != nil {
				t.Fatalf("the part %q cannot be read by itself: %v", v.Raw, errors.Unwrap(err))
			}
			if !reflect.DeepEqual(single.Verification, *v) {
				t.Errorf("the part by itself says %+v, before %+v", single.Verification, *v)
			}
		}
		list, err := Read(Search, format, AppendList(nil, format, raw))
		if err != nil {
			t.Fatalf("the parts %q cannot be read as a list: %v", raw, errors.Unwrap(err))
		}
		if len(list.Found) != len(reading.Found) {
			t.Fatalf("the parts %q are read as %d", raw, len(list.Found))
		}
		for i, v := range list.Found {
			if !reflect.DeepEqual(v, reading.Found[i]) {
				t.Errorf("in a list the part says %+v, before %+v", v, reading.Found[i])
			}
		}
		agrees(t, body, reading)
	})
}

// agreesJSON reads the answer as the Go SDKs do, without regard to case, and by
// exact names.
func agreesJSON(t *testing.T, body []byte, reading Reading) {
	t.Helper()
	type item struct {
		Status any `json:"status"`
	}
	var got struct {
		item
		Items []json.RawMessage `json:"verification_requests"`
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	if err := d.Decode(&got.item); err != nil {
		t.Fatalf("read as %+v, but %v", reading, err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		t.Errorf("something follows in %q", body)
	}
	if reading.List {
		var members map[string]json.RawMessage
		if err := json.Unmarshal(body, &members); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(members["verification_requests"], &got.Items); err != nil {
			t.Fatal(err)
		}
		if len(got.Items) != len(reading.Found) {
			t.Fatalf("%d found, to others %d", len(reading.Found), len(got.Items))
		}
		for i, raw := range got.Items {
			var one item
			d := json.NewDecoder(bytes.NewReader(raw))
			d.UseNumber()
			if err := d.Decode(&one); err != nil {
				t.Fatal(err)
			}
			sameStatus(t, reading.Found[i].Status, one.Status)
		}
		return
	}
	sameStatus(t, reading.Status, got.Status)
}

func sameStatus(t *testing.T, status Status, other any) {
	t.Helper()
	if number, ok := other.(json.Number); ok {
		other = number.String()
	}
	if other != string(status) {
		t.Errorf("status %q, to others %v", status, other)
	}
}

func agreesXML(t *testing.T, body []byte, reading Reading) {
	t.Helper()
	type item struct {
		Status []string `xml:"status"`
	}
	var got struct {
		item
		Items []item `xml:",any"`
	}
	if err := xml.Unmarshal(body, &got); err != nil {
		t.Fatalf("read as %+v, but %v", reading, err)
	}
	statuses, want := [][]string{got.Status}, []*Verification{&reading.Verification}
	if reading.List {
		statuses, want = nil, reading.Found
		for _, item := range got.Items {
			statuses = append(statuses, item.Status)
		}
	}
	if len(statuses) != len(want) {
		t.Fatalf("%d found, to others %d", len(want), len(statuses))
	}
	for i, v := range want {
		if len(statuses[i]) != 1 || strings.TrimSpace(statuses[i][0]) != string(v.Status) {
			t.Errorf("status %q, to others %q", v.Status, statuses[i])
		}
	}
}
