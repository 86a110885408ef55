package doctor

import (
	"maps"
	"slices"
	"strings"
)

// FilteredFields are those in which Caddy and its handlers log what clients send.
var FilteredFields = []string{"request", "resp_headers", "headers", "uri", "method", "method_trunc", "header"}

// CheckLogs looks at all loggers.
func (r *Report) CheckLogs(c *Config) {
	logs, _ := at(c.root, "logging", "logs").(object)
	loggers := maps.Clone(logs)
	if loggers == nil {
		loggers = object{}
	}
	if loggers["default"] == nil {
		loggers["default"] = object{} // Caddy has one by itself
	}
	good := 0
	for _, name := range slices.Sorted(maps.Keys(loggers)) {
		logger, _ := loggers[name].(object)
		if !ofRequests(logger) {
			good++
			continue
		}
		switch missing := unfiltered(logger["encoder"]); {
		case len(missing) == len(FilteredFields):
			r.Add(Finding{Warn, "log filter", "logger " + name, "it has no filter, so that phone numbers and codes in URLs come into it.", "`format filter { " + strings.Join(FilteredFields, " verify; ") + " verify; wrap json }` in its `log` block, a line for each."})
		case len(missing) > 0:
			r.Add(Finding{Warn, "log filter", "logger " + name, "it does not filter " + strings.Join(missing, ", ") + ", in which phone numbers and codes may be.", "`" + strings.Join(missing, " verify; ") + " verify` in its `format filter`, a line for each."})
		default:
			good++
		}
		if strings.EqualFold(text(logger["level"]), "debug") {
			r.Add(Finding{Warn, "log level", "logger " + name, "it is DEBUG, by which Caddy and its plugins log far more of every call.", "`level INFO`, or leave it out."})
		}
	}
	if good == len(loggers) {
		r.Add(Finding{OK, "log filter", "", number(good, "logger") + ", all filtered.", ""})
	}
}

// ofRequests tells whether what Caddy logs of requests may come to a logger.
func ofRequests(logger object) bool {
	if text(at(logger, "writer", "output")) == "discard" {
		return false
	}
	include := texts(logger["include"])
	return len(include) == 0 || slices.ContainsFunc(include, func(name string) bool {
		return name == "" || name == "http" || strings.HasPrefix(name, "http.")
	})
}

// unfiltered are the fields that an encoder shows as they are.
func unfiltered(encoder any) []string {
	for depth := 0; text(at(encoder, "format")) == "append" && depth < maxDepth; depth++ {
		encoder = at(encoder, "wrap")
	}
	if text(at(encoder, "format")) != "filter" {
		return FilteredFields
	}
	var missing []string
	for _, field := range FilteredFields {
		switch text(at(encoder, "fields", field, "filter")) {
		case "verify", "delete":
		default:
			missing = append(missing, field)
		}
	}
	return missing
}
