package wire

import (
	"path"
	"strings"
)

// Prefix is the path under which all calls of the API are.
const Prefix = "/verify/"

// Path returns the exact path of a call, such as /verify/check/json.
func Path(o Operation, f Format) string {
	if o == Request {
		return Prefix + f.String()
	}
	return Prefix + o.String() + "/" + f.String()
}

// Route returns the path with its format left open, such as
// /verify/check/{format}.
func Route(o Operation) string {
	if o == Request {
		return Prefix + "{format}"
	}
	return Prefix + o.String() + "/{format}"
}

// ParsePath finds the call that a path names. A row of slashes counts as one,
// since a base URL that ends in a slash makes two of it. Else only the exact paths
// are calls: nothing is decoded, cleaned or lower-cased, so that no spelling of a
// path can reach another part of the provider's API.
func ParsePath(path string) (Operation, Format, bool) {
	for strings.Contains(path, "//") {
		path = strings.ReplaceAll(path, "//", "/")
	}
	rest, ok := strings.CutPrefix(path, Prefix)
	if !ok {
		return 0, 0, false
	}
	operation := Request
	if word, after, found := strings.Cut(rest, "/"); found {
		switch word {
		case "check":
			operation = Check
		case "search":
			operation = Search
		case "control":
			operation = Control
		case "psd2":
			operation = PSD2
		default:
			return 0, 0, false
		}
		rest = after
	}
	for _, format := range operation.Formats() {
		if rest == format.String() {
			return operation, format, true
		}
	}
	return 0, 0, false
}

// IsOurs tells whether a path is one to answer: by a call or, since an empty 200
// from nobody looks like success to an SDK, by saying that there is no such call.
// That is so for whatever Caddy's matcher `path /verify /verify/*` takes, which
// ignores case, merges slashes and resolves dots.
func IsOurs(path string) bool {
	if strings.HasPrefix(path, Prefix) {
		return true
	}
	// A backslash is a slash to Caddy on Windows, and elsewhere a part of a name.
	return underVerify(fold(path)) || underVerify(clean(path))
}

func underVerify(folded string) bool {
	return folded == "/verify" || strings.HasPrefix(folded, Prefix)
}

func clean(spelling string) string { return path.Clean("/" + strings.ToLower(spelling)) }

// NoSuchCall is what to say of a path that is ours and no call's, in the shape of
// the call that it comes near to.
func NoSuchCall(path string) (*Fault, Operation, Format) {
	folded := fold(path)
	if o, f, ok := ParsePath(folded); ok {
		return Refuse(MisspelledPath, Path(o, f)), o, f
	}
	if folded == "/verify/psd2/xml" {
		return Refuse(MisspelledPath, Path(PSD2, JSON)), PSD2, XML
	}
	if strings.HasPrefix(folded+"/", "/verify/network-unblock/") {
		return Refuse(NetworkUnblockOff, ""), Request, JSON
	}
	f := JSON
	if strings.HasSuffix(folded, "/"+XML.String()) {
		f = XML
	}
	return Refuse(UnknownPath, ""), Request, f
}

// fold makes one of all the spellings that Caddy's matcher takes for a path, on
// Windows too, and of those with a slash or a blank at the end.
func fold(spelling string) string {
	spelling = strings.ToLower(strings.ReplaceAll(spelling, `\`, "/"))
	return path.Clean("/" + strings.TrimSpace(spelling))
}
