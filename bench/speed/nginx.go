package main

import (
	"os/user"
	"strings"
)

// nginxConf caches searches by URL and passes all else on, over connections that
// are kept. The rest is as distributions ship it.
const nginxConf = `daemon off;
worker_processes 1;
user {user};
pid {dir}/pid;
error_log stderr error;
events { worker_connections 4096; }
http {
	access_log off;
	sendfile on;
	tcp_nopush on;
	client_body_temp_path {dir}/body;
	proxy_temp_path {dir}/proxy;
	fastcgi_temp_path {dir}/fastcgi;
	uwsgi_temp_path {dir}/uwsgi;
	scgi_temp_path {dir}/scgi;
	proxy_cache_path {dir}/cache levels=1:2 keys_zone=searches:64m inactive=24h;
	proxy_http_version 1.1;
	proxy_set_header Connection "";
	proxy_set_header Authorization "{basic}";
	keepalive_requests 100000000;
	upstream api { server {upstream}; keepalive 64; keepalive_requests 100000000; }
	server {
		listen {address};
		location / { proxy_pass http://api; }
		location /verify/search/ {
			proxy_pass http://api;
			proxy_cache searches;
			proxy_cache_key $request_uri;
			proxy_cache_valid 200 24h;
		}
	}
}
`

func nginxConfig(dir, address, upstream string) (string, error) {
	me, err := user.Current()
	if err != nil {
		return "", err
	}
	return strings.NewReplacer("{dir}", dir, "{user}", me.Username, "{address}", address,
		"{basic}", accountBasic, "{upstream}", strings.TrimPrefix(upstream, "http://")).Replace(nginxConf), nil
}
