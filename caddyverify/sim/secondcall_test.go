package sim

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// asked is a call as it comes to the provider, in version 1's words.
type asked struct {
	second    bool // it is of version 2
	operation string
	values    url.Values
}

// readCall reads a call of either version. What the gateway asks for a sign of life is a search.
func readCall(method, path, text string) asked {
	rest, is := strings.CutPrefix(path, "/v2/verify")
	if !is {
		values, _ := url.ParseQuery(text)
		return asked{operation: operationOf(path), values: values}
	}
	c := asked{second: true, values: url.Values{}}
	id, more, _ := strings.Cut(strings.Trim(rest, "/"), "/")
	var body struct {
		Code     string
		Workflow []struct{ To string }
	}
	_ = json.Unmarshal([]byte(text), &body)
	switch {
	case id == "":
		c.operation = "request"
		if len(body.Workflow) > 0 {
			c.values.Set("number", body.Workflow[0].To)
		}
		return c
	case body.Code == "0000":
		c.operation = "search"
	case method == http.MethodDelete || more != "":
		c.operation = "control"
	default:
		c.operation = "check"
	}
	c.values.Set("request_id", strings.ReplaceAll(id, "-", ""))
	return c
}

// read reads an answer of either version.
func (c *asked) read(code int, body string) reply {
	if !c.second {
		return readText(body)
	}
	answer := reply{code: code, body: body, Status: "unreadable"}
	var said struct {
		RequestID string `json:"request_id"`
		Title     string
		Invalid   []any `json:"invalid_parameters"`
	}
	if body != "" && json.Unmarshal([]byte(body), &said) != nil {
		return answer
	}
	answer.RequestID = strings.ReplaceAll(said.RequestID, "-", "")
	statuses := map[int]string{200: "0", 202: "0", 204: "0", 400: "16", 401: "4", 402: "9", 403: "8", 404: "6", 409: "19", 410: "17", 422: "3", 429: "1", 500: "5"}
	answer.Status = statuses[code]
	switch {
	case code == 409 && c.operation == "request":
		answer.Status = "10"
	case code == 401 && strings.Contains(said.Title, "Quota"):
		answer.Status = "9"
	}
	return answer
}

// again tells that after such an answer, by which nothing was done, another call may be made for the
// same one.
func (c *asked) again(answer *reply) bool {
	if !c.second {
		return answer.Status == "6" // drained: version 2 is asked
	}
	return answer.Status == "4" || c.operation == "request" && answer.Status == "10"
}

// problems are version 2's, by version 1's status.
var problems = map[string]int{"1": 429, "3": 422, "4": 401, "5": 500, "8": 403, "9": 402}

// saysSecond is a refusal of version 2, which has done nothing.
func saysSecond(status, text string) (code int, body string) {
	told, _ := json.Marshal(text)
	return problems[status], fmt.Sprintf(`{"title":"The provider says so","detail":%s}`, told)
}

func readText(body string) reply {
	path := "/json"
	if strings.HasPrefix(body, "<") {
		path = "/xml"
	}
	c := &client{}
	c.body.WriteString(body)
	return read(c, path)
}
