package sandbox

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// memberOf is a member of a JSON object, by a path.
func memberOf(t *testing.T, body string, path ...string) any {
	t.Helper()
	var value any
	if err := json.Unmarshal([]byte(body), &value); err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	for _, name := range path {
		members, _ := value.(map[string]any)
		value = members[name]
	}
	return value
}

func TestTemplates(t *testing.T) {
	s := newV2(t, Config{})
	const templates = "/v2/verify/templates"
	ask := func(what, method, path, body string, code int, says string) string {
		t.Helper()
		w := askV2(s, method, path, body)
		if w.Code != code || !strings.Contains(w.Body.String(), says) {
			t.Errorf("%s: %d %s, want %d %s", what, w.Code, w.Body, code, says)
		}
		return w.Body.String()
	}
	made := ask("a new one", "POST", templates, `{"name":"first"}`, 201, `"is_default":false`)
	one := templates + "/" + memberOf(t, made, "template_id").(string)
	if memberOf(t, made, "_links", "self", "href") != "https://api.nexmo.com"+one {
		t.Errorf("its links: %s", made)
	}
	ask("the same name", "POST", templates, `{"name":"first"}`, 409, "already exists")
	ask("no name", "POST", templates, `{}`, 422, `"name":"name"`)
	ask("a name that is none", "POST", templates, `{"name":"a b"}`, 422, `"name":"name"`)
	ask("no JSON", "POST", templates, `name=a`, 400, "Invalid JSON")
	ask("it", "GET", one, "", 200, `"name":"first"`)
	ask("it as the default", "PATCH", one, `{"name":"renamed","is_default":true}`, 200, `"name":"renamed","is_default":true`)
	ask("no truth", "PATCH", one, `{"is_default":"yes"}`, 422, "is_default")
	fragments := one + "/template_fragments"
	text := `{"channel":"sms","locale":"en-us","text":"Your code is ${code}\n@example.com #${code}"}`
	part := fragments + "/" + memberOf(t, ask("a text", "POST", fragments, text, 201, `${code}\n@example.com`), "template_fragment_id").(string)
	ask("the same channel and locale", "POST", fragments, text, 409, "channel and locale already exists")
	ask("a channel that is none", "POST", fragments, strings.Replace(text, "sms", "email", 1), 422, `"name":"channel"`)
	ask("the texts", "GET", fragments, "", 200, `"total_items":1,"_embedded":{"template_fragments":[{"template_fragment_id":"`)
	ask("another text", "PATCH", part, `{"text":"It is ${code}"}`, 200, `"text":"It is ${code}"`)
	ask("no text", "PATCH", part, `{}`, 422, `"name":"text"`)
	ask("one with texts", "DELETE", one, "", 409, "not empty")
	ask("a text's end", "DELETE", part, "", 204, "")
	ask("a text that is gone", "GET", part, "", 404, "Template Fragment was not found")
	for i := range maxTemplates - 1 {
		ask("one more", "POST", templates, fmt.Sprintf(`{"name":"more-%d"}`, i), 201, "")
	}
	ask("one too many", "POST", templates, `{"name":"last"}`, 409, "maximum of 10")
	page := ask("a page", "GET", templates+"?page=2&page_size=4", "", 200, `"page_size":4,"page":2,"total_pages":3,"total_items":10`)
	if all := memberOf(t, page, "_embedded", "templates").([]any); len(all) != 4 {
		t.Errorf("a page has %d", len(all))
	}
	ask("a page past the last", "GET", templates+"?page=9", "", 200, `{"templates":[]}`)
	ask("no page", "GET", templates+"?page=x", "", 422, `"name":"page"`)
	ask("another default", "PATCH", templates+"/"+memberOf(t, page, "_embedded", "templates").([]any)[0].(map[string]any)["template_id"].(string), `{"is_default":true}`, 200, "true")
	ask("the default of before", "GET", one, "", 200, `"is_default":false`)
	ask("one's end", "DELETE", one, "", 204, "")
	ask("one that is gone", "PATCH", one, `{"name":"x"}`, 404, "Template was not found")

	fault, err := ParseFault("* forbidden")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.SetFaults(fault); err != nil {
		t.Fatal(err)
	}
	ask("what is not enabled", "POST", templates, `{"name":"x"}`, 403, "Templates management is not enabled for your account")
	ask("a start meanwhile", "POST", "/v2/verify", `{"brand":"Acme","workflow":[{"channel":"sms","to":"447700900000"}]}`, 202, "request_id")
	s.Reset()
	if err := s.SetFaults(); err != nil {
		t.Fatal(err)
	}
	ask("after a reset", "GET", templates, "", 200, `"total_items":0`)
}
