package main

import "strings"

// haproxyConf caches searches by URL and passes all else on, over connections that
// are kept. HAProxy leaves its cache alone where a request has an Authorization
// header, so the client's goes first, and the account's comes after the cache.
const haproxyConf = `global
	nbthread 1
defaults
	mode http
	timeout connect 10s
	timeout client 60s
	timeout server 60s
	http-reuse always
cache searches
	total-max-size 64
	max-object-size 8192
	max-age 86400
frontend applications
	bind {address}
	use_backend searches if { path_beg /verify/search/ }
	default_backend calls
backend searches
	http-request del-header Authorization
	http-request cache-use searches
	http-request set-header Authorization "{basic}"
	http-response set-header Cache-Control max-age=86400
	http-response cache-store searches
	server api {upstream}
backend calls
	http-request set-header Authorization "{basic}"
	server api {upstream}
`

func haproxyConfig(address, upstream string) string {
	return strings.NewReplacer("{address}", address, "{basic}", accountBasic,
		"{upstream}", strings.TrimPrefix(upstream, "http://")).Replace(haproxyConf)
}
