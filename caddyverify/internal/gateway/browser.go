package gateway

import (
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
