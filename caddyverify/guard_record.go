package caddyverify

import (
	"encoding/json"
	"errors"
	"io"
	"path/filepath"

	"github.com/caddyserver/caddy/v2/modules/logging"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/gateway"
)

// record is where the account's starts are written down; nil for nowhere.
func (g *Guard) record() *gateway.Record {
	if g.Record == "" {
		return nil
	}
	path := g.Record
	return &gateway.Record{Path: path, Open: func() (io.WriteCloser, error) {
		var file logging.FileWriter
		if err := json.Unmarshal([]byte(`{"mode":"0600"}`), &file); err != nil {
			return nil, err
		}
		file.Filename = path
		return file.OpenWriter()
	}}
}

// checkRecord wants a file for each account: two that roll one over lose lines.
func (a *App) checkRecord(of *accountUse, settings *accountSettings) error {
	path := settings.guard.Record
	if path == "" {
		return nil
	}
	for _, use := range a.uses {
		if other := use.settings.guard.Record; use != of && other != "" && sameFile(path, other) {
			return errors.New("guard: record: another account has the same file; write another here, or leave it out")
		}
	}
	return nil
}

func sameFile(one, other string) bool {
	a, err := filepath.Abs(one)
	b, err2 := filepath.Abs(other)
	return errors.Join(err, err2) == nil && a == b
}
