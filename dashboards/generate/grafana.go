package main

import (
	grafana "github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/prometheus"
)

// Grafana's own types, by the names that they have here. In them, what may be left out is a pointer.
type (
	Dashboard = grafana.Dashboard //nolint:staticcheck // the newer format is not for older Grafanas
	Variable  = grafana.VariableModel
	Panel     = grafana.Panel
	Target    = prometheus.Dataquery
	Step      = grafana.Threshold
	Mapping   = grafana.ValueMapping
	Override  = grafana.DashboardFieldConfigSourceOverrides
	Property  = grafana.DynamicConfigValue
)

// The options of transformations, for which Grafana has no types.

// Organize hides, orders and names columns.
type Organize struct {
	ExcludeByName map[string]bool   `json:"excludeByName"`
	IndexByName   map[string]int    `json:"indexByName"`
	RenameByName  map[string]string `json:"renameByName"`
}

// SortBy orders rows.
type SortBy struct {
	Sort []SortField `json:"sort"`
}

// SortField is a column to order by.
type SortField struct {
	Field string `json:"field"`
	Desc  bool   `json:"desc"`
}
