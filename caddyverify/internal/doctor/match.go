package doctor

import (
	"slices"
	"strings"
)

// sets are the sets of matchers of a route. A call is the route's if all of one set match.
func sets(match any) []object {
	var all []object
	for _, one := range list(match) {
		if set, ok := one.(object); ok {
			all = append(all, set)
		}
	}
	return all
}

// within is what is known of calls that match.
func (s state) within(matchers []object) state {
	if len(matchers) == 0 {
		return s
	}
	var hosts, paths, restricting []string
	everyHost, everyRestricts := true, true
	for _, set := range matchers {
		names := texts(set["host"])
		everyHost = everyHost && len(names) > 0
		hosts = append(hosts, names...)
		paths = append(paths, texts(set["path"])...)
		by := restrictions(set)
		everyRestricts = everyRestricts && len(by) > 0
		restricting = append(restricting, by...)
	}
	if everyHost {
		s.hosts, s.named = hosts, true
	}
	if len(paths) > 0 {
		s.paths = paths
	}
	if everyRestricts {
		s.matched = slices.Concat(s.matched, slices.Compact(restricting))
	}
	return s
}

// refused takes in that calls which match were refused.
func (s *state) refused(matchers []object) {
	for _, set := range matchers {
		if !covers(set) || !onlyPathAnd(set, "not") {
			continue
		}
		excepted := sets(set["not"])
		if by, all := allOf(excepted, restrictions); all {
			s.proved = slices.Concat(s.proved, by)
		}
		if _, all := allOf(excepted, func(set object) []string { return texts(set["host"]) }); all {
			s.named = true
		}
	}
}

// allOf tells whether all sets that calls of the API can match have something.
func allOf(matchers []object, what func(object) []string) (found []string, all bool) {
	for _, set := range matchers {
		if !covers(set) {
			continue
		}
		by := what(set)
		if len(by) == 0 {
			return nil, false
		}
		found = append(found, by...)
	}
	return found, len(found) > 0
}

// coverAll tells whether all calls of the API match.
func coverAll(matchers []object) bool {
	return len(matchers) == 0 || slices.ContainsFunc(matchers, func(set object) bool { return covers(set) && onlyPathAnd(set, "") })
}

func onlyPathAnd(set object, other string) bool {
	for name := range set {
		if name != "path" && name != other {
			return false
		}
	}
	return true
}

// covers tells whether the paths of the API match, as far as paths go.
func covers(set object) bool {
	patterns, some := set["path"]
	return !some || slices.ContainsFunc(texts(patterns), func(pattern string) bool {
		pattern = strings.ToLower(pattern)
		return pattern == "*" || pattern == "/*" || strings.HasPrefix(pattern, "/verify")
	})
}

// open are the matchers that do not tell who makes a call.
var open = []string{"path", "path_regexp", "method", "host", "protocol", "query", "file", "tls", "not"}

// restrictions are the matchers by which a set tells clients apart.
func restrictions(set object) []string {
	var by []string
	for name, settings := range set {
		if slices.Contains(open, name) || slices.ContainsFunc(texts(at(settings, "ranges")), func(r string) bool { return strings.HasSuffix(r, "/0") }) {
			continue
		}
		by = append(by, name)
	}
	slices.Sort(by)
	return by
}
