package ledger

import (
	"slices"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// Workflows lists the values of Start.Workflow: the API's workflow_id, "default"
// where a request has none, and "other" for one that is not documented.
var Workflows = [...]string{"default", "1", "2", "3", "4", "5", "6", "7", "other"}

const workflowOther = uint8(len(Workflows) - 1)

// workflowOf returns the index in Workflows for a request.
func workflowOf(call *wire.Call) uint8 {
	id := call.Get("workflow_id")
	if id == "" {
		return 0
	}
	last := int(workflowOther)
	if i := slices.Index(Workflows[1:last], id); i >= 0 {
		return uint8(1 + i) //nolint:gosec // of a list of seven
	}
	return workflowOther
}

// workflowNamed returns the index of one of Workflows, and that of "other" for what another
// version of the gateway may say.
func workflowNamed(name string) uint8 {
	if i := slices.Index(Workflows[:], name); i >= 0 {
		return uint8(i) //nolint:gosec // of a list of nine
	}
	return workflowOther
}
