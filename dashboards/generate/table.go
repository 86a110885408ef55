package main

import (
	"strings"

	"github.com/grafana/grafana-foundation-sdk/go/common"
	grafana "github.com/grafana/grafana-foundation-sdk/go/dashboard"
	tables "github.com/grafana/grafana-foundation-sdk/go/table"
)

// cell is a column of a table.
type cell struct {
	name       string
	expr       string
	properties []Property
}

// table joins what queries say of the same labels. It is ordered by a column.
func table(title, description string, l look, labels []string, order string, cells ...cell) *Panel {
	organize := Organize{ExcludeByName: map[string]bool{"Time": true}, IndexByName: map[string]int{}, RenameByName: map[string]string{}}
	for i, label := range labels {
		organize.IndexByName[label] = i
		if organize.RenameByName[label] = strings.ToUpper(label[:1]) + label[1:]; strings.HasPrefix(label, "alert") {
			organize.RenameByName[label] = map[string]string{"alertname": "Alert", "alertstate": "State"}[label]
		}
	}
	var targets []Target
	for i, c := range cells {
		field := "Value"
		if len(cells) > 1 {
			field = "Value #" + string(rune('A'+i))
		}
		organize.IndexByName[field] = len(labels) + i
		organize.RenameByName[field] = c.name
		targets = append(targets, column(c.expr))
		if len(c.properties) > 0 {
			l.over = append(l.over, of(c.name, c.properties...))
		}
	}
	custom := common.TableFieldOptions{
		Align:       common.FieldTextAlignmentAuto,
		CellOptions: &common.TableCellOptions{TableAutoCellOptions: common.NewTableAutoCellOptions()},
	}
	options := tables.Options{ShowHeader: true, CellHeight: new(common.TableCellHeightSm)}
	p := panel("table", title, description, l.config(grafana.FieldColorModeIdThresholds, custom), options, targets)
	p.Transformations = []grafana.DataTransformerConfig{
		{Id: "merge", Options: struct{}{}},
		{Id: "organize", Options: organize},
		{Id: "sortBy", Options: SortBy{[]SortField{{order, true}}}},
	}
	return p
}
