package wire

import (
	"bytes"
	"mime"
	"net/http"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/unicode"
)

// The media types that bodies of calls have.
const (
	formMedia = "application/x-www-form-urlencoded"
	jsonMedia = "application/json"
)

// mediaType returns the media type of a request's body, or "" where there is none,
// or two. Its parameters never decide whether a body is read: clients send what
// their libraries put there. charset is the one named, or "".
func mediaType(h http.Header) (media, charset string) {
	for _, line := range h["Content-Type"] {
		if line == formMedia || line == jsonMedia { // nearly always
			if media != "" && media != line {
				return "", ""
			}
			media = line
			continue
		}
		for part := range strings.SplitSeq(line, ",") { // as some proxies join lines
			name, parameters, _ := strings.Cut(part, ";")
			name, _, _ = strings.Cut(strings.TrimSpace(name), " ")
			if !strings.Contains(name, "/") {
				continue // the rest of a parameter
			}
			if name = strings.ToLower(name); media != "" && media != name {
				return "", ""
			}
			media = name
			if charset == "" {
				charset = charsetIn(parameters)
			}
		}
	}
	return media, charset
}

func charsetIn(parameters string) string {
	for parameter := range strings.SplitSeq(parameters, ";") {
		name, value, _ := strings.Cut(parameter, "=")
		if strings.EqualFold(strings.TrimSpace(name), "charset") {
			return strings.Trim(value, " \t\"'")
		}
	}
	return ""
}

// parseMediaType is mime.ParseMediaType, at no cost for the one that nearly all
// answers have.
func parseMediaType(text string) (media string, params map[string]string, err error) {
	if text == jsonMedia {
		return text, nil, nil
	}
	return mime.ParseMediaType(text)
}

// isEncoded tells whether a body is compressed or the like. Some clients name a
// charset where an encoding belongs.
func isEncoded(h http.Header) bool {
	for _, line := range h["Content-Encoding"] {
		for name := range strings.SplitSeq(line, ",") {
			name = strings.TrimSpace(name)
			if name == "" || strings.EqualFold(name, "identity") {
				continue
			}
			if _, err := htmlindex.Get(name); err != nil {
				return true
			}
		}
	}
	return false
}

// inBytes undoes UTF-16, which a body shows by itself, and drops a byte order mark.
func inBytes(body []byte) []byte {
	if after, found := bytes.CutPrefix(body, []byte("\ufeff")); found {
		return after
	}
	if len(body) < 2 {
		return body
	}
	order := unicode.LittleEndian
	switch {
	case body[0] == 0xff && body[1] == 0xfe, body[0] != 0 && body[1] == 0:
	case body[0] == 0xfe && body[1] == 0xff, body[0] == 0 && body[1] != 0:
		order = unicode.BigEndian
	default:
		return body
	}
	text, err := unicode.UTF16(order, unicode.UseBOM).NewDecoder().Bytes(body)
	if err != nil {
		return body
	}
	return text
}

// inUTF8 reads text that is not UTF-8 in the charset named for it, or as Latin-1.
func inUTF8(text, charset string) (string, bool) {
	// Like browsers, htmlindex takes Latin-1 for Windows-1252, which has all of it.
	var from encoding.Encoding = charmap.Windows1252
	if named, err := htmlindex.Get(charset); err == nil {
		if name, _ := htmlindex.Name(named); !strings.HasPrefix(name, "utf-") {
			from = named
		}
	}
	decoded, err := from.NewDecoder().String(text)
	return decoded, err == nil && !strings.ContainsRune(decoded, utf8.RuneError)
}
