package caddyverify

import (
	"log/slog"
	"net/http"
	"strings"
)

// fromBrowser tells a call that a page in a browser makes, such as the <img> of a
// page that an employee looks at: no SDK sends these headers.
func fromBrowser(h http.Header) bool {
	if len(h["Origin"]) > 0 { // whatever it is: null, too
		return true
	}
	for _, site := range h["Sec-Fetch-Site"] {
		if strings.EqualFold(site, "cross-site") || strings.EqualFold(site, "same-site") {
			return true
		}
	}
	return false
}

// reportIgnored counts the parameters that were left out of a call and names them
// to who looks for the reason why a client's parameter does nothing.
func (h *Handler) reportIgnored(r *http.Request, x *exchange) {
	h.account.metrics.Ignored(x.operation, len(x.ignored))
	if h.logger.Enabled(r.Context(), slog.LevelDebug) {
		h.logger.LogAttrs(r.Context(), slog.LevelDebug, "parameters ignored",
			slog.String("operation", x.operation.String()), slog.Any("names", x.ignored))
	}
}
