package main

import (
	"net/http"
	"net/url"
	"strings"
)

// maxIDs is how many ids Verify takes in a search.
const maxIDs = 10

// sdk is how an app writes a search. Each way is that of a real SDK; those which
// search by POST are left out, since no cache keyed by URL could help them.
type sdk int

const (
	node   sdk = iota // HTTP Basic, nothing but the ids in the URL
	golang            // the credentials first
	dotnet            // HTTP Basic and an ampersand at the end
	sdks
)

// search makes the request for a search. One id goes by request_id, several by
// request_ids.
func (s sdk) search(base string, ids []string) (*http.Request, error) {
	name := "request_ids"
	if len(ids) == 1 {
		name = "request_id"
	}
	query := name + "=" + strings.Join(ids, "&"+name+"=")
	switch s {
	case golang:
		query = credentials.Encode() + "&" + query
	case dotnet:
		query += "&"
	default: // nothing but the ids
	}
	r, err := http.NewRequest(http.MethodGet, base+"/verify/search/json?"+query, nil)
	if err == nil && s != golang {
		r.SetBasicAuth(credentials.Get("api_key"), credentials.Get("api_secret"))
	}
	return r, err
}

// credentials are the dummy ones of the apps, which the gateway drops.
var credentials = url.Values{"api_key": {"app"}, "api_secret": {"none"}}
