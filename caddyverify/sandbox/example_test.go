package sandbox_test

import (
	"encoding/json"
	"fmt"
	"net/http/httptest"

	"github.com/caddyverify/caddy-verify/caddyverify/sandbox"
)

// A test starts the sandbox as its upstream, lets one search in two fail, and
// looks at what came of it.
func ExampleNew() {
	fault, err := sandbox.ParseFault("search http 502 50%")
	if err != nil {
		fmt.Println(err)
		return
	}
	s, err := sandbox.New(sandbox.Config{
		APIKey:    "abcdef01",
		APISecret: "secret",
		Code:      "1234",
		Speed:     60, // a minute a second
		Faults:    []sandbox.Fault{fault},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	server := httptest.NewServer(s)
	defer server.Close()

	get := func(path, query string) (status string) {
		resp, err := server.Client().Get(server.URL + "/verify/" + path + "?api_key=abcdef01&api_secret=secret&" + query)
		if err != nil {
			return err.Error()
		}
		defer resp.Body.Close()
		var answer struct{ Status string }
		if json.NewDecoder(resp.Body).Decode(&answer) != nil {
			return resp.Status
		}
		return answer.Status
	}
	fmt.Println("request:", get("json", "number=447700900000&brand=Acme"))
	id := s.Verifications()[0].RequestID
	fmt.Println("check:  ", get("check/json", "code=1234&request_id="+id))
	fmt.Println("search: ", get("search/json", "request_id="+id))
	fmt.Println("search: ", get("search/json", "request_id="+id))
	fmt.Println("messages paid for:", s.Accepted(), "calls:", len(s.Calls()))
	// Output:
	// request: 0
	// check:   0
	// search:  SUCCESS
	// search:  502 Bad Gateway
	// messages paid for: 1 calls: 4
}
