package main

import (
	"fmt"

	grafana "github.com/grafana/grafana-foundation-sdk/go/dashboard"
)

// row is a heading, and the panels under it from left to right.
type row struct {
	title  string
	height uint32
	panels []*Panel
}

// lay gives panels their places and numbers. The panels of a row share its width.
func lay(rows ...row) []grafana.PanelOrRowPanel {
	var all []grafana.PanelOrRowPanel
	id, y := uint32(0), uint32(0)
	for _, r := range rows {
		id++
		all = append(all, grafana.PanelOrRowPanel{RowPanel: &grafana.RowPanel{
			Id: id, Type: "row", Title: &r.title, GridPos: &grafana.GridPos{H: 1, W: 24, Y: y}, Panels: []Panel{},
		}})
		y++
		if 24%len(r.panels) != 0 {
			panic(fmt.Sprintf("row %q: 24 columns cannot be shared by %d panels", r.title, len(r.panels)))
		}
		width := 24 / uint32(len(r.panels)) //nolint:gosec // a few
		x := uint32(0)
		for _, p := range r.panels {
			id++
			p.Id = new(id)
			p.GridPos = &grafana.GridPos{H: r.height, W: width, X: x, Y: y}
			all = append(all, grafana.PanelOrRowPanel{Panel: p})
			x += width
		}
		y += r.height
	}
	return all
}
