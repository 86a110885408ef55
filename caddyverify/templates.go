package caddyverify

import (
	"errors"
	"fmt"
	"slices"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/caller"
)

// Templates lets calls of version 2 through by which templates are read and written.
type Templates struct {
	// Callers are the names of those who may make them, which needs `callers`, or `*` alone for all
	// that the gateway lets in. Required.
	Callers []string `json:"callers,omitempty"`
}

func (a *Account) checkTemplates() error {
	switch {
	case a.Templates == nil:
		return nil
	case a.API != apiV2:
		return errors.New("version 1 has none; add `api v2`, or leave them out")
	case slices.Contains(a.Templates.Callers, "*") && !a.Templates.all():
		return errors.New("`*` stands alone, for all callers; write `templates *`, or names alone")
	case len(a.Templates.Callers) == 0:
		return errors.New("nobody is named; write the callers that may manage them, or * for all" + unset)
	}
	return nil
}

// checkCallers tells of a name that no caller has: who is meant by it would be kept out.
func (t *Templates) checkCallers(callers *Callers) error {
	switch {
	case t == nil || t.all():
		return nil
	case callers == nil:
		return errors.New("these are names of callers, and there are none; add `callers` to the global option verify, with lines such as `caller support {http.auth.user.id} support`, or write `templates *` for all that the gateway lets in")
	}
	for i, name := range t.Callers {
		known := name == caller.Other && callers.Unknown == unknownShared ||
			slices.ContainsFunc(callers.Known, func(c *Caller) bool { return c.Name == name })
		switch {
		case !known:
			return fmt.Errorf("there is no caller named %s; write one of %q, or * for all", name, callers.names())
		case slices.Contains(t.Callers[:i], name):
			return fmt.Errorf("caller %s is named twice; leave one out", name)
		}
	}
	return nil
}

func (t *Templates) all() bool { return slices.Equal(t.Callers, []string{"*"}) }

// admit tells whether a caller may manage templates.
func (t *Templates) admit(c *caller.Caller) bool {
	return t.all() || slices.Contains(t.Callers, c.Name)
}
