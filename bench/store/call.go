package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// call is one to be measured.
type call struct{ path, form, key, want string }

// prepare makes what must be before a call.
func (b *bench) prepare(s *side, kind string) (c call, err error) {
	b.numbers++
	start := call{path: "/verify/json", form: fmt.Sprintf("brand=Acme&number=447710%06d", b.numbers), want: `"status":"0"`}
	switch kind {
	case request:
		return start, nil
	case keyed:
		start.key = fmt.Sprint("key-", b.numbers)
		return start, nil
	}
	body, err := s.call(start)
	if err != nil {
		return c, err
	}
	_, after, _ := strings.Cut(body, `"request_id":"`)
	id, _, _ := strings.Cut(after, `"`)
	search := call{path: "/verify/search/json", form: "request_id=" + id, want: `IN PROGRESS`}
	enter := call{path: "/verify/check/json", form: "request_id=" + id + "&code=" + code, want: `"status":"0"`}
	switch kind {
	case inMemory:
		if _, err := s.call(enter); err != nil {
			return c, err
		}
		search.want = "SUCCESS"
		for range 2 {
			if _, err := s.call(search); err != nil {
				return c, err
			}
		}
		return search, nil
	case elsewhere:
		if s == b.alone { // which does not know of others
			return search, nil
		}
		_, err := b.other.call(search)
		time.Sleep(2 * time.Millisecond) // it is kept once its client has the answer
		return search, err
	case check:
		return enter, nil
	}
	return search, nil
}

func (s *side) timed(kind string, c call) error {
	begun := time.Now()
	_, err := s.call(c)
	s.took[kind] = append(s.took[kind], time.Since(begun))
	return err
}

func (s *side) call(c call) (body string, err error) {
	r, err := http.NewRequest(http.MethodPost, s.url+c.path, strings.NewReader(c.form)) //nolint:noctx // the client has a timeout
	if err != nil {
		return "", err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if c.key != "" {
		r.Header.Set("Idempotency-Key", c.key)
	}
	response, err := s.client.Do(r)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	switch {
	case err != nil:
		return "", err
	case response.StatusCode != http.StatusOK:
		return "", errors.New(response.Status)
	case !strings.Contains(string(text), c.want):
		return "", fmt.Errorf("%s is answered %s", c.path, text)
	}
	return string(text), nil
}
