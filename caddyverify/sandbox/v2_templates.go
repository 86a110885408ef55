package sandbox

import (
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// maxTemplates is how many an account may have.
const maxTemplates = 10

// defaultPageSize is the sandbox's own: none is documented.
const defaultPageSize = 10

// template is one that messages are made of, though those of the sandbox are not.
type template struct {
	id, name  string
	isDefault bool
	fragments []*fragment
}

// fragment is the text of a template for a channel in a language.
type fragment struct {
	id, channel, locale, text string
	created, updated          time.Time
}

// callTemplates is what a call about templates has beyond others.
type callTemplates struct {
	method string
	path   []string // below that of v2, in segments
	query  url.Values
}

var (
	notEnabled       = problem{code: http.StatusForbidden, title: "Forbidden", detail: "Templates management is not enabled for your account", slug: "forbidden"}
	noTemplate       = problem{code: http.StatusNotFound, title: "Not Found", detail: "Template was not found.", slug: "template-not-found"}
	noFragment       = problem{code: http.StatusNotFound, title: "Not Found", detail: "Template Fragment was not found.", slug: "template-fragment-not-found"}
	templateExists   = problem{code: http.StatusConflict, title: "Conflict", detail: "A template with this name already exists.", slug: "template-exists"}
	fragmentExists   = problem{code: http.StatusConflict, title: "Conflict", detail: "A template fragment for this channel and locale already exists.", slug: "fragment-exists"}
	notEmpty         = problem{code: http.StatusConflict, title: "Conflict", detail: "The template is not empty and cannot be deleted.", slug: "not-empty-template"}
	tooManyTemplates = problem{code: http.StatusConflict, title: "Conflict", detail: "An account can only have a maximum of 10 custom templates.", slug: "max-templates"}
)

var (
	templateName    = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)
	fragmentChannel = regexp.MustCompile(`^(sms|voice)$`)
	fragmentLocale  = regexp.MustCompile(`^[a-z]{2,3}(-[a-z0-9]{2,8})*$`)
)

// templatesV2 answers a call about templates. The caller holds s.mu.
func (s *Sandbox) templatesV2(c call) answer {
	t := c.v2.templates
	if len(t.path) == 1 {
		if t.method == http.MethodPost {
			return s.createTemplate(c)
		}
		var all []object
		for _, one := range s.templates {
			all = append(all, one.object())
		}
		return s.list(t, "templates", all)
	}
	i := slices.IndexFunc(s.templates, func(one *template) bool { return one.id == strings.ToLower(t.path[1]) })
	switch {
	case i < 0:
		return s.problem(noTemplate)
	case len(t.path) > 2:
		return s.fragmentsV2(c, s.templates[i])
	case t.method == http.MethodPatch:
		return s.changeTemplate(c, s.templates[i])
	case t.method == http.MethodGet:
		return made(http.StatusOK, s.templates[i].object())
	case len(s.templates[i].fragments) > 0:
		return s.problem(notEmpty)
	}
	s.templates = slices.Delete(s.templates, i, i+1)
	return answer{httpStatus: http.StatusNoContent, empty: true, outcome: "0"}
}

func made(code int, o object) answer { return answer{httpStatus: code, outcome: "0", fields: o} }

func (s *Sandbox) createTemplate(c call) answer {
	b, ok := readObject(c.v2.body)
	if !ok {
		return s.problem(unreadable)
	}
	name := b.required("name", templateName)
	switch {
	case len(*b.invalid) > 0:
		return s.problem(invalidParams(*b.invalid...))
	case s.hasTemplate(name, nil):
		return s.problem(templateExists)
	case len(s.templates) == maxTemplates:
		return s.problem(tooManyTemplates)
	}
	t := &template{id: newEventID(), name: name}
	s.templates = append(s.templates, t)
	return made(http.StatusCreated, t.object())
}

func (s *Sandbox) changeTemplate(c call, t *template) answer {
	b, ok := readObject(c.v2.body)
	if !ok {
		return s.problem(unreadable)
	}
	name, isDefault := b.text("name", templateName), b.boolean("is_default")
	_, said := b.members["is_default"]
	switch {
	case len(*b.invalid) > 0:
		return s.problem(invalidParams(*b.invalid...))
	case s.hasTemplate(name, t):
		return s.problem(templateExists)
	}
	if name != "" {
		t.name = name
	}
	if said {
		for _, other := range s.templates { // of which one at most is the default
			other.isDefault = other.isDefault && !isDefault
		}
		t.isDefault = isDefault
	}
	return made(http.StatusOK, t.object())
}

func (s *Sandbox) hasTemplate(name string, but *template) bool {
	return slices.ContainsFunc(s.templates, func(t *template) bool { return t.name == name && t != but })
}

// fragmentsV2 answers a call about the fragments of a template. The caller holds s.mu.
func (s *Sandbox) fragmentsV2(c call, of *template) answer {
	t := c.v2.templates
	if len(t.path) == 3 {
		if t.method == http.MethodPost {
			return s.createFragment(c, of)
		}
		var all []object
		for _, f := range of.fragments {
			all = append(all, f.object(of))
		}
		return s.list(t, "template_fragments", all)
	}
	i := slices.IndexFunc(of.fragments, func(f *fragment) bool { return f.id == strings.ToLower(t.path[3]) })
	switch {
	case i < 0:
		return s.problem(noFragment)
	case t.method == http.MethodDelete:
		of.fragments = slices.Delete(of.fragments, i, i+1)
		return answer{httpStatus: http.StatusNoContent, empty: true, outcome: "0"}
	case t.method == http.MethodPatch:
		b, ok := readObject(c.v2.body)
		if !ok {
			return s.problem(unreadable)
		}
		text := b.required("text", nil)
		if len(*b.invalid) > 0 {
			return s.problem(invalidParams(*b.invalid...))
		}
		of.fragments[i].text, of.fragments[i].updated = text, s.clock.now()
	}
	return made(http.StatusOK, of.fragments[i].object(of))
}

func (s *Sandbox) createFragment(c call, of *template) answer {
	b, ok := readObject(c.v2.body)
	if !ok {
		return s.problem(unreadable)
	}
	now := s.clock.now()
	f := &fragment{
		id: newEventID(), created: now, updated: now,
		channel: b.required("channel", fragmentChannel), locale: b.required("locale", fragmentLocale), text: b.required("text", nil),
	}
	if len(*b.invalid) > 0 {
		return s.problem(invalidParams(*b.invalid...))
	}
	if slices.ContainsFunc(of.fragments, func(other *fragment) bool { return other.channel == f.channel && other.locale == f.locale }) {
		return s.problem(fragmentExists)
	}
	of.fragments = append(of.fragments, f)
	return made(http.StatusCreated, f.object(of))
}

// required is a member that must be there.
func (b body) required(name string, pattern *regexp.Regexp) string {
	text := b.text(name, pattern)
	if text == "" {
		b.refuse(name, "The "+name+" is required.")
	}
	return text
}

// list is a page of a HAL list.
func (s *Sandbox) list(t callTemplates, name string, all []object) answer {
	b := body{invalid: new([]invalidParameter)}
	number := func(name string, missing int) int {
		text := t.query.Get(name)
		if text == "" {
			return missing
		}
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > 1000 {
			b.refuse(name, "It must be a whole number from 1 to 1000.")
		}
		return n
	}
	page, size := number("page", 1), number("page_size", defaultPageSize)
	if len(*b.invalid) > 0 {
		return s.problem(invalidParams(*b.invalid...))
	}
	pages := max(1, (len(all)+size-1)/size)
	from, to := min((page-1)*size, len(all)), min(page*size, len(all))
	self := "https://" + hostOfLinks + PathV2 + "/" + strings.Join(t.path, "/")
	links := object{link("self", self+"?page="+strconv.Itoa(page)), link("last", self+"?page="+strconv.Itoa(pages))}
	return made(http.StatusOK, object{
		{name: "page_size", raw: strconv.Itoa(size)},
		{name: "page", raw: strconv.Itoa(page)},
		{name: "total_pages", raw: strconv.Itoa(pages)},
		{name: "total_items", raw: strconv.Itoa(len(all))},
		member("_embedded", object{{name: name, list: append([]object{}, all[from:to]...)}}),
		member("_links", links),
	})
}

// hostOfLinks is the provider's, whichever a client has called.
const hostOfLinks = "api.nexmo.com"

func member(name string, o object) field { return field{name: name, list: []object{o}, single: true} }

func link(name, href string) field { return member(name, object{{name: "href", value: href}}) }

func (t *template) object() object {
	self := "https://" + hostOfLinks + PathV2 + "/templates/" + t.id
	return object{
		{name: "template_id", value: t.id},
		{name: "name", value: t.name},
		{name: "is_default", raw: strconv.FormatBool(t.isDefault)},
		member("_links", object{link("self", self), link("fragments", self+"/template_fragments")}),
	}
}

func (f *fragment) object(of *template) object {
	self := "https://" + hostOfLinks + PathV2 + "/templates/" + of.id
	return object{
		{name: "template_fragment_id", value: f.id},
		{name: "channel", value: f.channel},
		{name: "locale", value: f.locale},
		{name: "text", value: f.text},
		{name: "date_updated", value: f.updated.UTC().Format(time.RFC3339Nano)},
		{name: "date_created", value: f.created.UTC().Format(time.RFC3339Nano)},
		member("_links", object{link("self", self+"/template_fragments/"+f.id), link("template", self)}),
	}
}
