package main

import (
	"net/http"
	"strings"
	"sync"
)

// sink takes the spans of sides with tracing and counts the exports of each, which
// begin their path with the side's name.
type sink struct {
	url     string
	server  *http.Server
	mu      sync.Mutex
	exports map[string]int
}

func newSink() (*sink, error) {
	s := &sink{exports: map[string]int{}}
	var err error
	s.url, s.server, err = serve(s)
	return s, err
}

func (s *sink) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	side, ok := strings.CutSuffix(r.URL.Path, "/v1/traces")
	if !ok {
		http.NotFound(w, r)
		return
	}
	s.mu.Lock()
	s.exports[strings.TrimPrefix(side, "/")]++
	s.mu.Unlock()
	w.Header().Set("Content-Type", "application/x-protobuf") // of an empty answer: all was taken
}

func (s *sink) of(side string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.exports[side]
}
