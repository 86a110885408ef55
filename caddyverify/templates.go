package caddyverify

import (
	"errors"
	"fmt"
	"slices"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/caller"
)

// Templates lets calls of version 2 through by which templates are read and written.
type Templates struct {
	// Callers are the names of those who may make them. It needs `callers`, which tell who calls.
	// Default: all that the gateway lets in.
	Callers []string `json:"callers,omitempty"`
}

func (a *Account) checkTemplates() error {
	if a.Templates != nil && a.API != apiV2 {
		return errors.New("version 1 has none; add `api v2`, or leave them out")
	}
	return nil
}

// checkCallers tells of a name that no caller has: who is meant by it would be kept out.
func (t *Templates) checkCallers(callers *Callers) error {
	switch {
	case t == nil || len(t.Callers) == 0:
		return nil
	case callers == nil:
		return errors.New("there are no callers whose names these could be; the global option verify has none")
	}
	for i, name := range t.Callers {
		known := name == caller.Other && callers.Unknown == unknownShared ||
			slices.ContainsFunc(callers.Known, func(c *Caller) bool { return c.Name == name })
		switch {
		case !known:
			return fmt.Errorf("there is no caller named %s", name)
		case slices.Contains(t.Callers[:i], name):
			return fmt.Errorf("caller %s is named twice", name)
		}
	}
	return nil
}

// admit tells whether a caller may manage templates.
func (t *Templates) admit(c *caller.Caller) bool {
	return len(t.Callers) == 0 || slices.Contains(t.Callers, c.Name)
}
