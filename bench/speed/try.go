package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
)

// try asks a side what wrk will ask, and wants the upstream's answers to it. For
// hits it asks for every verification, which fills the cache.
func (b *bench) try(ctx context.Context, workload string, s *side) error {
	const tag = "000000000000"
	switch workload {
	case "hit":
		return b.fill(ctx, s)
	case "hit10":
		if s.name == "respond10" {
			return want(ctx, s.url+searchPath, "", respondText10)
		}
		if err := b.fill(ctx, s); err != nil {
			return err
		}
		return want(ctx, s.url+searchPath+"request_ids="+strings.Join(b.ids[:10], "&request_ids="), "", search(nil, b.ids[:10]))
	case "request":
		return want(ctx, s.url+"/verify/json", "number=447700900000&brand=Acme+"+tag, started(tag))
	case "check":
		return want(ctx, s.url+"/verify/check/json", "request_id="+idPrefix+tag+"&code=1234", checked(tag))
	}
	return fmt.Errorf("no workload %q", workload)
}

const (
	searchPath = "/verify/search/json?"

	// host is what applications would call the gateway. HAProxy's cache cannot hold two
	// URLs whose hashes begin with the same 32 bits; with a name that stays the
	// same, so does it whether that happens.
	host = "verify.internal"
)

// fill asks for each verification.
func (b *bench) fill(ctx context.Context, s *side) error {
	ids := make(chan string)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var clients sync.WaitGroup
	for range 2 { // as many connections as net/http keeps
		clients.Go(func() {
			for id := range ids {
				expected := state(id)
				if strings.HasPrefix(s.name, "respond") {
					expected = respondText
				}
				if err := want(ctx, s.url+searchPath+"request_id="+id, "", expected); err != nil {
					cancel(err)
				}
			}
		})
	}
	for _, id := range b.ids {
		if ctx.Err() == nil {
			ids <- id
		}
	}
	close(ids)
	clients.Wait()
	return context.Cause(ctx)
}

// want asks and compares the answer.
func want(ctx context.Context, url, form, expected string) error {
	answer, err := ask(ctx, host, url, form)
	if err == nil && answer != expected {
		err = fmt.Errorf("the answer is\n%s\nand not\n%s", answer, expected)
	}
	return err
}

// ask reads the answer to a form or, without one, what is at a URL. The host is
// that of the URL if none is given.
func ask(ctx context.Context, host, url, form string) (string, error) {
	method := http.MethodGet
	if form != "" {
		method = http.MethodPost
	}
	r, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(form))
	if err != nil {
		return "", err
	}
	if form != "" {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	r.Host = host
	r.SetBasicAuth("app", "none")
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("HTTP %d: %s", response.StatusCode, body)
	}
	return string(body), err
}
