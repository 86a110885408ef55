package ledger

import "github.com/caddyverify/caddy-verify/caddyverify/internal/wire"

// Workflows lists the values of Start.Workflow: the API's workflow_id, "default"
// where a request has none, and "other" for one that is not documented.
var Workflows = [...]string{"default", "1", "2", "3", "4", "5", "6", "7", "other"}

// workflowOf returns the entry of Workflows for a request.
func workflowOf(call *wire.Call) string {
	id := call.Get("workflow_id")
	if id == "" {
		return "default"
	}
	for _, known := range Workflows[1:8] {
		if id == known {
			return known
		}
	}
	return "other"
}
