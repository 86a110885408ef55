package wire

import (
	"net/url"
	"strings"
)

// HasDigits tells whether text holds as many digits in a row as the shortest code
// has, and so perhaps a code or a phone number.
func HasDigits(text string) bool {
	run := 0
	for i := range len(text) {
		if text[i] < '0' || text[i] > '9' {
			run = 0
		} else if run++; run == 4 {
			return true
		}
	}
	return false
}

// redactSegments replaces those segments of a path that may hold a code or a number.
func redactSegments(path string) string {
	if !HasDigits(path) && !strings.Contains(path, "%") {
		return path
	}
	segments := strings.Split(path, "/")
	for i, segment := range segments {
		// What is encoded twice is nobody's path.
		if plain, err := url.PathUnescape(segment); err != nil || HasDigits(plain) || strings.Contains(plain, "%") {
			segments[i] = redacted
		}
	}
	return strings.Join(segments, "/")
}
