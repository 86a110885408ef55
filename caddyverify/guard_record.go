package caddyverify

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"

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

// checkRecords wants a file for each account: two that roll one over lose lines.
func (a *App) checkRecords() error {
	of := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(a.Accounts)) {
		g := a.Accounts[name].Guard
		if g == nil || g.Record == "" {
			continue
		}
		path := filepath.Clean(g.Record)
		if other, taken := of[path]; taken {
			return fmt.Errorf("account %s: guard: record: account %s has the same file; write another", name, other)
		}
		of[path] = name
	}
	return nil
}
