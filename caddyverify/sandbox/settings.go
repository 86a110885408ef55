package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// FaultsPath is where the settings can be changed while the sandbox runs: a GET
// tells them in JSON, a POST of the same JSON, or of a form, changes those that it
// has. A list of faults replaces all; an empty one ends them.
//
//	{"faults": ["search delay 2s 10%"], "code": "1234", "limit": "30/s", "speed": 60}
//	fault=search delay 2s 10%&code=1234&limit=30/s&speed=60
const FaultsPath = "/sandbox/faults"

// Settings are what can be changed while a [Sandbox] runs, each with the meaning
// and the default that it has in [Config].
type Settings struct {
	Faults []Fault
	Code   string
	Limit  float64
	Speed  float64
}

// Settings returns the settings at present.
func (s *Sandbox) Settings() Settings {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.settings()
}

func (s *Sandbox) settings() Settings {
	faults := make([]Fault, 0, len(s.faults))
	for _, f := range s.faults {
		faults = append(faults, f.Fault)
	}
	return Settings{Faults: faults, Code: s.cfg.Code, Limit: s.cfg.Limit, Speed: s.cfg.Speed}
}

// Change calls edit with the settings at present and puts in force what it makes
// of them. A code is that of verifications and messages to come, and faults count
// their shares from the beginning. The error tells what cannot be used, or is that
// of edit, and then nothing is changed.
func (s *Sandbox) Change(edit func(*Settings) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	settings := s.settings()
	if err := edit(&settings); err != nil {
		return err
	}
	cfg := s.cfg
	cfg.Code, cfg.Limit, cfg.Speed = settings.Code, settings.Limit, settings.Speed
	if err := cfg.complete(); err != nil {
		return err
	}
	faults, err := schedule(settings.Faults)
	if err != nil {
		return err
	}
	// The rest of cfg never changes, and is read without the lock.
	s.cfg.Code, s.cfg.Limit, s.cfg.Speed, s.faults = cfg.Code, cfg.Limit, cfg.Speed, faults
	s.clock.run(cfg.Speed)
	s.stir()
	return nil
}

// SetFaults replaces the faults; with none, nothing goes wrong any more. The
// error tells what is wrong with a fault, and then nothing is changed.
func (s *Sandbox) SetFaults(faults ...Fault) error {
	return s.Change(func(settings *Settings) error {
		settings.Faults = faults
		return nil
	})
}

// parseRate reads a limit as it is written; off is negative.
func parseRate(text string) (float64, error) {
	if text == "off" {
		return -1, nil
	}
	number, ok := strings.CutSuffix(text, "/s")
	rate, err := strconv.ParseFloat(number, 64)
	if !ok || err != nil || !(rate > 0) {
		return 0, fmt.Errorf("limit: write %s", usages["limit"])
	}
	return rate, nil
}

func (s *Sandbox) serveFaults(w http.ResponseWriter, r *http.Request) {
	switch r.Method {
	case http.MethodGet:
	case http.MethodPost:
		changes, err := readChanges(w, r)
		if err == nil {
			err = s.Change(changes.apply)
		}
		if err != nil {
			writeJSON(w, http.StatusBadRequest, struct {
				Error string `json:"error"`
			}{strings.TrimPrefix(err.Error(), "sandbox: ") + "; nothing was changed"})
			return
		}
	default:
		w.Header().Set("Allow", "GET, POST")
		http.Error(w, "Use GET, or POST.", http.StatusMethodNotAllowed)
		return
	}
	settings := s.Settings()
	limit := "off"
	if settings.Limit >= 0 {
		limit = strconv.FormatFloat(settings.Limit, 'f', -1, 64) + "/s"
	}
	lines := make([]string, 0, len(settings.Faults))
	for _, f := range settings.Faults {
		lines = append(lines, f.String())
	}
	writeJSON(w, http.StatusOK, struct {
		Faults []string `json:"faults"`
		Code   string   `json:"code"`
		Limit  string   `json:"limit"`
		Speed  float64  `json:"speed"`
	}{lines, settings.Code, limit, settings.Speed})
}

func writeJSON(w http.ResponseWriter, code int, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false) // faults are written with < and >
	encoder.SetIndent("", "  ")
	_ = encoder.Encode(value) // a client that left has nothing to be told
}

// changes are the settings that a POST gives; nil for those that stay.
type changes struct {
	Faults *[]string `json:"faults"`
	Code   *string   `json:"code"`
	Limit  *string   `json:"limit"`
	Speed  *float64  `json:"speed"`
}

// usages tell what can be written for each.
var usages = map[string]string{
	"faults": `a list of texts such as ["search delay 2s 10%"]`,
	"code":   `a text such as "1234", or "" for random ones`,
	"limit":  `a number per second such as "30/s", or "off"`,
	"speed":  "a number above 0, for example 60 for a minute per second",
}

// readChanges reads a JSON object, whatever its Content-Type since curl calls all a
// form, or else a form or a query.
func readChanges(w http.ResponseWriter, r *http.Request) (c changes, err error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		return c, fmt.Errorf("the body cannot be read, or is longer than %d bytes", maxBody)
	}
	if text := strings.TrimSpace(string(body)); strings.HasPrefix(text, "{") {
		err = c.readJSON(text)
	} else {
		err = c.readForm(text + "&" + r.URL.RawQuery)
	}
	if err == nil && c == (changes{}) {
		err = errors.New("nothing is asked for: give faults, code, limit or speed")
	}
	return c, err
}

func (c *changes) readJSON(text string) error {
	d := json.NewDecoder(strings.NewReader(text))
	d.DisallowUnknownFields()
	err := d.Decode(c)
	var wrong *json.UnmarshalTypeError
	switch {
	case errors.As(err, &wrong) && usages[wrong.Field] != "":
		return fmt.Errorf("%s: write %s", wrong.Field, usages[wrong.Field])
	case err != nil:
		return fmt.Errorf("the body cannot be read as JSON: %w", err)
	case d.More():
		return errors.New("the body has more than one JSON object")
	}
	return nil
}

func (c *changes) readForm(text string) error {
	form, err := url.ParseQuery(text)
	if err != nil {
		return fmt.Errorf("the form cannot be read (%w): a percent sign is written %%25, or sent with curl's --data-urlencode", err)
	}
	for name, values := range form {
		last := values[len(values)-1]
		switch name {
		case "fault", "faults":
			lines := slices.DeleteFunc(values, func(line string) bool { return line == "" })
			if c.Faults != nil {
				lines = append(lines, *c.Faults...)
			}
			c.Faults = &lines
		case "code":
			c.Code = &last
		case "limit":
			c.Limit = &last
		case "speed":
			speed, err := strconv.ParseFloat(last, 64)
			if err != nil {
				return fmt.Errorf("speed: write %s", usages["speed"])
			}
			c.Speed = &speed
		default:
			return fmt.Errorf("unknown field %q: use fault, code, limit or speed", name)
		}
	}
	return nil
}

func (c changes) apply(s *Settings) error {
	if c.Faults != nil {
		s.Faults = nil
		for _, line := range *c.Faults {
			fault, err := ParseFault(line)
			if err != nil {
				return err
			}
			s.Faults = append(s.Faults, fault)
		}
	}
	if c.Code != nil {
		s.Code = *c.Code
	}
	if c.Speed != nil {
		if s.Speed = *c.Speed; s.Speed <= 0 {
			return fmt.Errorf("speed: write %s", usages["speed"])
		}
	}
	if c.Limit != nil {
		rate, err := parseRate(*c.Limit)
		if err != nil {
			return err
		}
		s.Limit = rate
	}
	return nil
}
