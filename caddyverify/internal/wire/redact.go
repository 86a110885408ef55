package wire

import (
	"net/url"
	"strings"
)

const (
	redacted = "REDACTED"
	other    = "other"
)

// RedactURI makes a request's URI fit for logs. It keeps the path, but for what looks
// like a number in it, the ids of verifications and the command of a control. All else
// that stands in a query is replaced, names that are not the API's too, and a query that
// cannot be decoded is dropped whole.
func RedactURI(uri string) string {
	if !strings.HasPrefix(uri, "/") {
		return redacted // not a path: it may hold credentials
	}
	path, query, found := strings.Cut(uri, "?")
	path, _, _ = strings.Cut(path, "#")
	if decoded, err := url.PathUnescape(path); err != nil || IsOurs(decoded) {
		if _, _, ok := ParsePath(path); !ok {
			path = Prefix + redacted
		}
	}
	if IsV2(path) {
		path = redactV2(path)
	} else {
		path = redactSegments(path)
	}
	if !found {
		return path
	}
	var b strings.Builder
	for pair := range strings.SplitSeq(query, "&") {
		if pair == "" {
			continue
		}
		name, value, _ := strings.Cut(pair, "=")
		name, err := url.QueryUnescape(name)
		if err == nil {
			value, err = url.QueryUnescape(value)
		}
		if err != nil || strings.Contains(pair, ";") {
			return path + "?" + redacted
		}
		if b.Len() > 0 {
			b.WriteByte('&')
		}
		b.WriteString(redactPair(name, value))
	}
	if b.Len() == 0 {
		return path
	}
	return path + "?" + b.String()
}

// RedactID returns what may be shown of a request_id, whichever side it is from:
// all of it, unless it has other characters than real ones, or could be a phone
// number or a code put in the wrong place. The longest number has 15 digits (ITU-T
// E.164).
func RedactID(value string) string {
	if len(value) > 15 && len(value) <= maxID && kindID.fits(value) &&
		!strings.Contains(value, "_") && strings.ContainsAny(value, letters) {
		return value
	}
	return redacted
}

// showName returns what may be shown in a log of the name of a parameter that the
// API does not know: all of it if it looks like one, since it may be anything.
func showName(name string) string {
	digits := 0
	for _, c := range []byte(name) {
		switch {
		case c >= '0' && c <= '9':
			if digits++; digits > 2 {
				return other
			}
		case !strings.ContainsRune(letters+"_.-[]", rune(c)):
			return other
		}
	}
	if name == "" || len(name) > 32 {
		return other
	}
	return name
}

func redactPair(name, value string) string {
	switch {
	case name == "request_id" || name == "request_ids":
		return name + "=" + RedactID(value)
	case name == "cmd":
		if value == "cancel" || value == "trigger_next_event" {
			return name + "=" + value
		}
	case isCredential(name) || isParameter(name):
	default:
		name = redacted
	}
	return name + "=" + redacted
}

func isParameter(name string) bool {
	for _, list := range parameters {
		for _, p := range list {
			if p.name == name {
				return true
			}
		}
	}
	return false
}
