package main

// The part of Grafana's dashboard format that these dashboards use. The names are Grafana's own; see
// https://grafana.com/docs/grafana/latest/dashboards/build-dashboards/view-dashboard-json-model/.

// Dashboard is a file that Grafana imports.
type Dashboard struct {
	UID           string      `json:"uid"`
	Title         string      `json:"title"`
	Description   string      `json:"description"`
	Tags          []string    `json:"tags"`
	SchemaVersion int         `json:"schemaVersion"`
	Editable      bool        `json:"editable"`
	GraphTooltip  int         `json:"graphTooltip"`
	Refresh       string      `json:"refresh"`
	Timezone      string      `json:"timezone"`
	Time          TimeRange   `json:"time"`
	Links         []Link      `json:"links"`
	Annotations   Annotations `json:"annotations"`
	Templating    Templating  `json:"templating"`
	Panels        []*Panel    `json:"panels"`
}

// TimeRange is what a dashboard shows at first.
type TimeRange struct {
	From string `json:"from"`
	To   string `json:"to"`
}

// Link leads to all dashboards with the tags, keeping time and variables.
type Link struct {
	Title       string   `json:"title"`
	Type        string   `json:"type"`
	Icon        string   `json:"icon"`
	Tooltip     string   `json:"tooltip"`
	URL         string   `json:"url"`
	Tags        []string `json:"tags"`
	AsDropdown  bool     `json:"asDropdown"`
	TargetBlank bool     `json:"targetBlank"`
	IncludeVars bool     `json:"includeVars"`
	KeepTime    bool     `json:"keepTime"`
}

// Annotations are the marks that all panels over time share.
type Annotations struct {
	List []Annotation `json:"list"`
}

// Annotation is one kind of mark.
type Annotation struct {
	Name        string     `json:"name"`
	Datasource  DataSource `json:"datasource"`
	Enable      bool       `json:"enable"`
	Hide        bool       `json:"hide"`
	IconColor   string     `json:"iconColor"`
	Expr        string     `json:"expr"`
	TitleFormat string     `json:"titleFormat"`
	Step        string     `json:"step"`
}

// Templating holds the variables.
type Templating struct {
	List []Variable `json:"list"`
}

// Variable is a choice at the top of a dashboard.
type Variable struct {
	Name        string      `json:"name"`
	Label       string      `json:"label"`
	Description string      `json:"description"`
	Type        string      `json:"type"`
	Query       any         `json:"query"`
	Datasource  *DataSource `json:"datasource,omitempty"`
	Current     Current     `json:"current"`
	Options     []Option    `json:"options"`
	Multi       bool        `json:"multi"`
	IncludeAll  bool        `json:"includeAll"`
	AllValue    string      `json:"allValue,omitempty"`
	Refresh     int         `json:"refresh,omitempty"`
	Sort        int         `json:"sort,omitempty"`
	Hide        int         `json:"hide"`
	SkipURLSync bool        `json:"skipUrlSync"`
}

// VariableQuery asks Prometheus for the values of a label.
type VariableQuery struct {
	Query string `json:"query"`
	RefID string `json:"refId"`
}

// Current is the present choice; its text and value are strings, or lists of them where several may be chosen.
type Current struct {
	Text  any `json:"text"`
	Value any `json:"value"`
}

// Option is a possible choice.
type Option struct {
	Text     string `json:"text"`
	Value    string `json:"value"`
	Selected bool   `json:"selected"`
}

// DataSource names where the figures come from.
type DataSource struct {
	Type string `json:"type"`
	UID  string `json:"uid"`
}

// Panel is one picture, or the heading of a row of them.
type Panel struct {
	ID              int              `json:"id"`
	Type            string           `json:"type"`
	Title           string           `json:"title"`
	Description     string           `json:"description,omitempty"`
	GridPos         GridPos          `json:"gridPos"`
	Datasource      *DataSource      `json:"datasource,omitempty"`
	Targets         []Target         `json:"targets,omitempty"`
	FieldConfig     *FieldConfig     `json:"fieldConfig,omitempty"`
	Options         any              `json:"options,omitempty"`
	Transformations []Transformation `json:"transformations,omitempty"`
	Interval        string           `json:"interval,omitempty"`
	// Of rows alone.
	Collapsed *bool    `json:"collapsed,omitempty"`
	Panels    *[]Panel `json:"panels,omitempty"`
}

// GridPos is a place on a grid of 24 columns.
type GridPos struct {
	H int `json:"h"`
	W int `json:"w"`
	X int `json:"x"`
	Y int `json:"y"`
}

// Target is a query.
type Target struct {
	RefID        string     `json:"refId"`
	Datasource   DataSource `json:"datasource"`
	EditorMode   string     `json:"editorMode"`
	Expr         string     `json:"expr"`
	LegendFormat string     `json:"legendFormat,omitempty"`
	Format       string     `json:"format"`
	Instant      bool       `json:"instant"`
	Range        bool       `json:"range"`
	Exemplar     bool       `json:"exemplar"`
}

// FieldConfig says how values look.
type FieldConfig struct {
	Defaults  Defaults   `json:"defaults"`
	Overrides []Override `json:"overrides"`
}

// Defaults are the looks of all fields of a panel.
type Defaults struct {
	Unit       string     `json:"unit"`
	Decimals   *int       `json:"decimals,omitempty"`
	Min        *float64   `json:"min,omitempty"`
	Max        *float64   `json:"max,omitempty"`
	NoValue    string     `json:"noValue,omitempty"`
	Color      Color      `json:"color"`
	Thresholds Thresholds `json:"thresholds"`
	Mappings   []Mapping  `json:"mappings"`
	Custom     any        `json:"custom,omitempty"`
}

// Color tells how a field gets its colour.
type Color struct {
	Mode       string `json:"mode"`
	FixedColor string `json:"fixedColor,omitempty"`
}

// Thresholds are where colours change.
type Thresholds struct {
	Mode  string `json:"mode"`
	Steps []Step `json:"steps"`
}

// Step is a colour from a value on; the first has none.
type Step struct {
	Color string   `json:"color"`
	Value *float64 `json:"value"`
}

// Mapping shows values as words.
type Mapping struct {
	Type    string            `json:"type"`
	Options map[string]Mapped `json:"options"`
}

// Mapped is the word for a value.
type Mapped struct {
	Text  string `json:"text"`
	Color string `json:"color,omitempty"`
	Index int    `json:"index"`
}

// Override changes the looks of some fields.
type Override struct {
	Matcher    Matcher    `json:"matcher"`
	Properties []Property `json:"properties"`
}

// Matcher chooses fields.
type Matcher struct {
	ID      string `json:"id"`
	Options string `json:"options"`
}

// Property is what changes.
type Property struct {
	ID    string `json:"id"`
	Value any    `json:"value"`
}

// Transformation changes the tables that queries return.
type Transformation struct {
	ID      string `json:"id"`
	Options any    `json:"options"`
}

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

// GraphCustom is how a time series is drawn.
type GraphCustom struct {
	DrawStyle         string         `json:"drawStyle"`
	LineInterpolation string         `json:"lineInterpolation"`
	LineWidth         int            `json:"lineWidth"`
	FillOpacity       int            `json:"fillOpacity"`
	ShowPoints        string         `json:"showPoints"`
	SpanNulls         bool           `json:"spanNulls"`
	AxisSoftMin       *float64       `json:"axisSoftMin,omitempty"`
	AxisSoftMax       *float64       `json:"axisSoftMax,omitempty"`
	Stacking          Stacking       `json:"stacking"`
	ThresholdsStyle   ThresholdStyle `json:"thresholdsStyle"`
}

// Stacking puts series on top of each other.
type Stacking struct {
	Mode  string `json:"mode"`
	Group string `json:"group"`
}

// ThresholdStyle is how thresholds are drawn over time.
type ThresholdStyle struct {
	Mode string `json:"mode"`
}

// TableCustom is how a table's cells are drawn.
type TableCustom struct {
	Align       string      `json:"align"`
	CellOptions CellOptions `json:"cellOptions"`
	Inspect     bool        `json:"inspect"`
}

// CellOptions chooses a kind of cell.
type CellOptions struct {
	Type string `json:"type"`
	Mode string `json:"mode,omitempty"`
}

// StateCustom is how states are drawn over time.
type StateCustom struct {
	LineWidth   int `json:"lineWidth"`
	FillOpacity int `json:"fillOpacity"`
}

// HeatmapCustom has nothing to say.
type HeatmapCustom struct {
	ScaleDistribution ScaleDistribution `json:"scaleDistribution"`
}

// ScaleDistribution of an axis.
type ScaleDistribution struct {
	Type string `json:"type"`
}

// Reduce makes one figure of many.
type Reduce struct {
	Calcs  []string `json:"calcs"`
	Fields string   `json:"fields"`
	Values bool     `json:"values"`
}

// StatOptions are those of a stat panel.
type StatOptions struct {
	ColorMode     string `json:"colorMode"`
	GraphMode     string `json:"graphMode"`
	JustifyMode   string `json:"justifyMode"`
	Orientation   string `json:"orientation"`
	TextMode      string `json:"textMode"`
	WideLayout    bool   `json:"wideLayout"`
	ShowChange    bool   `json:"showPercentChange"`
	ChangeColors  string `json:"percentChangeColorMode"`
	ReduceOptions Reduce `json:"reduceOptions"`
}

// BarGaugeOptions are those of a bar gauge.
type BarGaugeOptions struct {
	DisplayMode   string `json:"displayMode"`
	Orientation   string `json:"orientation"`
	ShowUnfilled  bool   `json:"showUnfilled"`
	ValueMode     string `json:"valueMode"`
	NamePlacement string `json:"namePlacement"`
	MinVizHeight  int    `json:"minVizHeight"`
	MinVizWidth   int    `json:"minVizWidth"`
	MaxVizHeight  int    `json:"maxVizHeight"`
	Sizing        string `json:"sizing"`
	Legend        Legend `json:"legend"`
	ReduceOptions Reduce `json:"reduceOptions"`
}

// TimeSeriesOptions are those of a time series.
type TimeSeriesOptions struct {
	Legend  Legend  `json:"legend"`
	Tooltip Tooltip `json:"tooltip"`
}

// Legend lists the series.
type Legend struct {
	DisplayMode string   `json:"displayMode"`
	Placement   string   `json:"placement"`
	ShowLegend  bool     `json:"showLegend"`
	Calcs       []string `json:"calcs"`
}

// Tooltip is what hovering shows.
type Tooltip struct {
	Mode string `json:"mode"`
	Sort string `json:"sort"`
}

// StateOptions are those of a state timeline.
type StateOptions struct {
	ShowValue   string  `json:"showValue"`
	RowHeight   float64 `json:"rowHeight"`
	MergeValues bool    `json:"mergeValues"`
	Legend      Legend  `json:"legend"`
	Tooltip     Tooltip `json:"tooltip"`
}

// TableOptions are those of a table.
type TableOptions struct {
	FrameIndex int    `json:"frameIndex"`
	ShowHeader bool   `json:"showHeader"`
	CellHeight string `json:"cellHeight"`
}

// HeatmapOptions are those of a heat map.
type HeatmapOptions struct {
	Calculate    bool             `json:"calculate"`
	CellGap      int              `json:"cellGap"`
	Color        HeatmapColor     `json:"color"`
	Exemplars    HeatmapExemplars `json:"exemplars"`
	FilterValues FilterValues     `json:"filterValues"`
	Legend       HeatmapLegend    `json:"legend"`
	RowsFrame    RowsFrame        `json:"rowsFrame"`
	ShowValue    string           `json:"showValue"`
	Tooltip      HeatmapTooltip   `json:"tooltip"`
	YAxis        HeatmapAxis      `json:"yAxis"`
}

// HeatmapColor is how often something happened.
type HeatmapColor struct {
	Mode     string  `json:"mode"`
	Scheme   string  `json:"scheme"`
	Fill     string  `json:"fill"`
	Scale    string  `json:"scale"`
	Exponent float64 `json:"exponent"`
	Steps    int     `json:"steps"`
	Reverse  bool    `json:"reverse"`
}

// HeatmapExemplars is the colour of single calls.
type HeatmapExemplars struct {
	Color string `json:"color"`
}

// FilterValues leaves out what is nearly 0.
type FilterValues struct {
	LE float64 `json:"le"`
}

// HeatmapLegend shows the colours.
type HeatmapLegend struct {
	Show bool `json:"show"`
}

// RowsFrame is how rows of buckets are read.
type RowsFrame struct {
	Layout string `json:"layout"`
}

// HeatmapTooltip is what hovering shows.
type HeatmapTooltip struct {
	Mode       string `json:"mode"`
	YHistogram bool   `json:"yHistogram"`
	ShowColor  bool   `json:"showColorScale"`
}

// HeatmapAxis is the vertical one.
type HeatmapAxis struct {
	AxisPlacement string `json:"axisPlacement"`
	Reverse       bool   `json:"reverse"`
	Unit          string `json:"unit"`
}
